import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { REFERENCE, renderReference } from '../../scripts/reference.ts'

test('the reference of the configuration is what the sections of the code say', async () => {
  const written = await readFile(REFERENCE, 'utf8')
  assert.equal(written, await renderReference(), 'run: node --conditions=sluice-source scripts/reference.ts')
})
