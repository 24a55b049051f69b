/** The guide on S3 says what happens: its programs print what it says, over a directory of their own. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { programsOf, runProgram } from '../support/guide-programs.ts'

const programs = programsOf('docs/guides/s3.md')

test('the guide on S3 has its programs', () => assert.equal(programs.length, 2))

for (const [index, { code, output }] of programs.entries()) {
  test(`program ${index + 1} of the guide on S3 prints what the guide says`, async () => {
    assert.deepEqual(await runProgram(code), { output, status: 0 })
  })
}
