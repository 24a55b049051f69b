/** The guide on the embedded PostgreSQL says what happens: its program prints what it says. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { programsOf, runProgram } from '../support/guide-programs.ts'

const programs = programsOf('docs/guides/embedded-postgres.md')

test('the guide on the embedded PostgreSQL has its program', () => assert.equal(programs.length, 1))

for (const { code, output } of programs) {
  test('the program of the guide on the embedded PostgreSQL prints what the guide says', async () => {
    assert.deepEqual(await runProgram(code), { output, status: 0 })
  })
}
