import assert from 'node:assert/strict'
import { test } from 'node:test'
import { programsOf, runProgram } from '../../support/guide-programs.ts'
import { BROKER, missingBroker } from './support.ts'

const missing = await missingBroker()
const skip =
  missing === false && BROKER !== '127.0.0.1:9092' ? 'the programs of the guide use 127.0.0.1:9092' : missing
const programs = programsOf('docs/guides/kafka.md')

test('docs/guides/kafka.md has its programs', () => assert.equal(programs.length, 2))

for (const [at, program] of programs.entries()) {
  test(`program ${at + 1} of docs/guides/kafka.md prints what the page says`, { skip }, async () => {
    const { output, status } = await runProgram(program.code)
    assert.equal(output, program.output)
    assert.equal(status, 0)
  })
}
