import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkNodeVersion } from '../../src/app/node-version.ts'
import { hasCode } from '../../src/core/errors.ts'

test('a Node.js that is too old is named, with the way to a newer one', () => {
  for (const version of ['20.20.2', '22.22.0', '18.0.0']) {
    assert.throws(
      () => checkNodeVersion(version),
      (error) =>
        hasCode(error, 'SLUICE_UNSUPPORTED') &&
        error.message.includes(version) &&
        (error.hint ?? '').includes('npm install node@24'),
    )
  }
  for (const version of ['24.0.0', '24.21.0', '100.1.2']) checkNodeVersion(version)
  checkNodeVersion()
})
