import assert from 'node:assert/strict'
import { test } from 'node:test'
import { programsOf, runProgram } from '../../support/guide-programs.ts'
import { missingServer, URL } from './support.ts'

const missing = await missingServer()
const skip =
  missing === false && URL !== 'mongodb://127.0.0.1:27017'
    ? 'the programs of the guide use 127.0.0.1:27017'
    : missing
const programs = programsOf('docs/guides/mongo.md')

test('docs/guides/mongo.md has its programs', () => assert.equal(programs.length, 2))

for (const [at, program] of programs.entries()) {
  test(`program ${at + 1} of docs/guides/mongo.md prints what the page says`, { skip }, async () => {
    const { output, status } = await runProgram(program.code)
    assert.equal(output, program.output)
    assert.equal(status, 0)
  })
}
