/** That each mutant can be planted: whether it is caught takes minutes, and is asked by `npm run chaos -- mutants`. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { MUTANTS } from '../../scripts/chaos/mutants/list.ts'
import { plant } from '../../scripts/chaos/mutants/run.ts'

const ROOT = join(import.meta.dirname, '../..')
const DOCS = readFileSync(join(ROOT, 'docs/chaos.md'), 'utf8')

test('mutants have names of their own', () => {
  assert.equal(new Set(MUTANTS.map(({ name }) => name)).size, MUTANTS.length)
})

for (const mutant of MUTANTS) {
  test(`the mutant ${mutant.name} finds its place in the source, and whatever catches it is there`, async () => {
    const { source, text } = await plant(ROOT, mutant)
    assert.notEqual(text, source)
    assert.ok(DOCS.includes(`| ${mutant.takes} |`), `${mutant.takes}: not in docs/chaos.md`)
    const { proof } = mutant
    if ('chaos' in proof) return
    assert.ok(existsSync(join(ROOT, proof.test)), proof.test)
    assert.ok(readFileSync(join(ROOT, proof.test), 'utf8').includes(proof.name), proof.name)
  })
}

test('a mutant whose text is not in the source any more is refused, with what to do', async () => {
  const [mutant] = MUTANTS
  assert.ok(mutant !== undefined)
  await assert.rejects(
    plant(ROOT, { ...mutant, find: 'what nobody ever wrote' }),
    /has its text 0 times; rewrite it in/,
  )
})
