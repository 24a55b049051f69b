/** That each mutant can be planted: whether it is caught takes minutes, and is asked by `npm run chaos -- mutants`. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { MUTANTS } from '../../scripts/chaos/mutants/list.ts'
import { planted } from '../../scripts/chaos/mutants/run.ts'

const ROOT = join(import.meta.dirname, '../..')

test('mutants have names of their own', () => {
  assert.equal(new Set(MUTANTS.map(({ name }) => name)).size, MUTANTS.length)
})

for (const mutant of MUTANTS) {
  test(`the mutant ${mutant.name} finds its place in the source, and whatever catches it is there`, () => {
    const source = readFileSync(join(ROOT, mutant.file), 'utf8')
    assert.notEqual(planted(source, mutant), source)
    const { proof } = mutant
    if ('chaos' in proof) return
    assert.ok(existsSync(join(ROOT, proof.test)), proof.test)
    assert.ok(readFileSync(join(ROOT, proof.test), 'utf8').includes(proof.name), proof.name)
  })
}

test('a mutant whose text is not in the source any more is refused, with what to do', () => {
  const [mutant] = MUTANTS
  assert.ok(mutant !== undefined)
  assert.throws(() => planted('something else', mutant), /has its text 0 times; rewrite it in/)
})
