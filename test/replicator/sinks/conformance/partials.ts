import assert from 'node:assert/strict'
import { it } from 'node:test'
import { full, gone, id, openSink, partial, soon, type Stage } from '../support.ts'

export function partialsConformance(stage: () => Promise<Stage>): void {
  it('a partial replaces fields and removes those that are null', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink())
    await open.apply('company', [full('a', '1-0', { keep: [], deep: { a: 1, b: 2 }, drop: 1 })])
    const outcome = await open.apply('company', [
      partial('a', '2-0', { deep: { a: 3 }, drop: null, more: {} }),
    ])
    assert.deepEqual(outcome, { applied: 1, skippedAsOlder: 0, dead: [], waiting: [] })
    assert.equal(await store.entity('company', 'a'), '{"keep":[],"deep":{"a":3},"more":{}}')
  })
  it('a partial that is not newer changes nothing', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink())
    await open.apply('company', [full('a', '2-0', { n: 1 })])
    for (const at of ['1-9', '2-0'])
      assert.equal((await open.apply('company', [partial('a', at, { n: 2 })])).skippedAsOlder, 1)
    assert.equal(await store.entity('company', 'a'), '{"n":1}')
  })
  it('a partial of nothing is a dead letter, and the others of its batch are stored', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink())
    await open.apply('company', [full('deleted', '1-0', {}), gone('other', '1-0')])
    await open.apply('company', [gone('deleted', '2-0')])
    const outcome = await open.apply(
      'company',
      [partial('never', '3-0', { n: 1 }), partial('deleted', '3-0', { n: 1 }), full('new', '3-0', {})],
      { cursor: id('3-0') },
    )
    assert.equal(outcome.applied, 1)
    assert.deepEqual(
      outcome.dead.map(({ change, reason }) => [change.id, reason]),
      [
        ['never', 'no-base'],
        ['deleted', 'no-base'],
      ],
    )
    assert.deepEqual(await store.ids('company'), ['new'])
    assert.equal((await open.sink.deadLetters(10, soon())).length, 2)
  })
  it('while a load is under way a partial waits for a base of that load', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink())
    await open.apply('company', [full('a', '1-0', { old: true })])
    await open.sink.beginLoad('L', soon())
    const live = partial('a', '9-0', { n: 1 })
    const other = partial('b', '9-0', { n: 1 })
    const waits = await open.apply('company', [live, other], { load: 'L', cursor: id('9-0') })
    assert.deepEqual(waits, { applied: 0, skippedAsOlder: 0, dead: [], waiting: [live, other] })
    const row = full('a', '5-0', { row: true }, { fromLoad: true })
    assert.equal((await open.apply('company', [row], { load: 'L' })).applied, 1)
    const again = await open.apply('company', [live, other], { load: 'L' })
    assert.deepEqual([again.applied, again.waiting], [1, [other]])
    assert.equal(await store.entity('company', 'a'), '{"row":true,"n":1}')
    const after = await open.apply('company', [other])
    assert.equal(after.dead.length, 1)
  })
  it('what waits holds the cursor back', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink(), { lanes: ['company'] })
    await open.apply('company', [], { cursor: id('1-0') })
    await open.sink.beginLoad('L', soon())
    await open.apply('company', [partial('a', '9-0', {})], { load: 'L', cursor: id('9-0') })
    assert.deepEqual((await open.reopen()).cursor, id('1-0'))
  })
  it('a row that is older than what is stored makes that a base', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink())
    await open.apply('company', [full('a', '8-0', { live: true })])
    await open.sink.beginLoad('L', soon())
    const row = full('a', '5-0', { row: true }, { fromLoad: true })
    assert.equal((await open.apply('company', [row], { load: 'L' })).skippedAsOlder, 1)
    const outcome = await open.apply('company', [partial('a', '9-0', { n: 1 })], { load: 'L' })
    assert.equal(outcome.applied, 1)
    assert.equal(await store.entity('company', 'a'), '{"live":true,"n":1}')
  })
  it('a partial changes other names too', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink())
    await open.apply('user', [full('u', '1-0', { names: ['mail:a', 'nick:a'], age: 1 })])
    await open.apply('user', [partial('u', '2-0', { names: ['mail:b', 'nick:a'] })])
    assert.equal(await store.lookup('user', 'mail:a'), undefined)
    assert.equal(await store.lookup('user', 'mail:b'), 'u')
    assert.equal(await store.lookup('user', 'nick:a'), 'u')
  })
}
