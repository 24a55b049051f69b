import assert from 'node:assert/strict'
import { test } from 'node:test'
import { programsOf, runProgram } from '../../support/guide-programs.ts'

for (const guide of ['docs/guides/redis.md', 'docs/guides/caching.md']) {
  const programs = programsOf(guide)
  test(`${guide} has programs to run`, () => assert.ok(programs.length > 0))
  for (const [at, program] of programs.entries()) {
    test(`program ${at + 1} of ${guide} prints what the page says`, async () => {
      const { output, status } = await runProgram(program.code)
      assert.equal(output, program.output)
      assert.equal(status, 0)
    })
  }
}
