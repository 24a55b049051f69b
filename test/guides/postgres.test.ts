/** The guide on PostgreSQL says what happens: its programs print what it says. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { programsOf, runProgram } from '../support/guide-programs.ts'

const programs = programsOf('docs/guides/postgres.md')

test('the guide on PostgreSQL has its programs', () => assert.equal(programs.length, 4))

for (const [index, { code, output }] of programs.entries()) {
  test(`program ${index + 1} of the guide on PostgreSQL prints what the guide says`, async () => {
    assert.deepEqual(await runProgram(code), { output, status: 0 })
  })
}
