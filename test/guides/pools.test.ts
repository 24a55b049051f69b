/** The guides on results and pools say what happens: their programs print what they say. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { programsOf, runProgram } from '../support/guide-programs.ts'

const GUIDES = { 'docs/guides/async-results.md': 2, 'docs/guides/pools.md': 3 } as const

for (const [guide, count] of Object.entries(GUIDES)) {
  const programs = programsOf(guide)

  test(`${guide} has its ${count} programs`, () => assert.equal(programs.length, count))

  for (const [index, { code, output }] of programs.entries()) {
    test(`program ${index + 1} of ${guide} prints what the guide says`, async () => {
      assert.deepEqual(await runProgram(code), { output, status: 0 })
    })
  }
}
