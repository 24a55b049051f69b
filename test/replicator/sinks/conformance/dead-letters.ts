import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { DeadLetter } from '../../../../src/replicator/contract.ts'
import { full, openSink, partial, soon, type Stage } from '../support.ts'

const letter = (n: number, more: Partial<DeadLetter> = {}): DeadLetter => ({
  lane: 'company',
  id: `e${n}`,
  streamId: `${n}-0`,
  reason: 'malformed',
  detail: 'it is no JSON',
  text: `{"n":${n}`,
  timeMs: 1_000 + n,
  ...more,
})

export function deadLettersConformance(stage: () => Promise<Stage>): void {
  it('dead letters are kept as they were, the newest first', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink())
    const letters = [1, 2, 3].map((n) => letter(n))
    await open.apply('company', [], { dead: letters })
    const unnamed = letter(4, { id: '', streamId: '', lane: 'user' })
    await open.apply('user', [], { dead: [unnamed] })
    assert.deepEqual(await open.sink.deadLetters(10, soon()), [unnamed, ...letters.toReversed()])
    assert.deepEqual(await open.sink.deadLetters(2, soon()), [unnamed, letters[2]])
  })
  it('a batch that is stored twice leaves its dead letters once', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink())
    for (const _ of [1, 2]) {
      await open.apply('company', [partial('a', '7-0', { n: 1 })], {
        dead: [letter(1), letter(2, { id: '', streamId: '' })],
      })
    }
    assert.equal((await open.sink.deadLetters(10, soon())).length, 3)
  })
  it('at most a thousand are kept, and the oldest go', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink())
    const many = Array.from({ length: 1_200 }, (_, n) => letter(n))
    for (let at = 0; at < many.length; at += 300) {
      await open.apply('company', [], { dead: many.slice(at, at + 300) })
    }
    const kept = await open.sink.deadLetters(5_000, soon())
    assert.deepEqual([kept.length, kept[0]?.id, kept.at(-1)?.id], [1_000, 'e1199', 'e200'])
  })
  it('an entity that is too large becomes one, cut', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink())
    const huge = `{"x":"${'y'.repeat(8 * 1_024 * 1_024)}"}`
    const outcome = await open.apply('company', [full('huge', '1-0', huge), full('small', '1-0', {})])
    assert.equal(outcome.applied, 1)
    assert.equal(outcome.dead[0]?.reason, 'too-large')
    const [kept] = await open.sink.deadLetters(1, soon())
    assert.deepEqual([kept?.id, kept?.text.length], ['huge', 16_384])
  })
}
