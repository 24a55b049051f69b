import assert from 'node:assert/strict'
import { it } from 'node:test'
import { full, gone, hasCode, id, openSink, soon, type OpenSink, type Stage } from '../support.ts'

const row = (name: string, at: string, data = {}): ReturnType<typeof full> =>
  full(name, at, data, { fromLoad: true })

const finish = (open: OpenSink, load: string, before: string): Promise<{ readonly removed: number }> =>
  open.sink.finishLoad(load, id(before), { signal: soon(), progress: () => {} })

export function loadsConformance(stage: () => Promise<Stage>): void {
  it('a load makes the store ready when it is finished, and not before', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink())
    await open.sink.beginLoad('one', soon())
    await open.apply('company', [row('a', '5-0')], { load: 'one' })
    assert.equal((await open.reopen()).load, undefined)
    await open.sink.beginLoad('two', soon())
    await open.apply('company', [row('a', '6-0')], { load: 'two' })
    assert.deepEqual(await finish(open, 'two', '6-0'), { removed: 0 })
    assert.equal((await open.reopen()).load, 'two')
    await open.sink.beginLoad('three', soon())
    assert.equal((await open.reopen()).load, undefined)
    assert.deepEqual(await store.ids('company'), ['a'])
  })
  it('what the load does not have is removed, with its names; what is newer, or of the load, stays', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink())
    await open.apply('user', [
      full('missing', '1-0', { names: ['mail:missing'] }),
      full('same', '5-0', { names: ['mail:same'] }),
      full('at-page', '5-0', { names: [] }),
      full('in-load', '1-0', { names: ['mail:old'] }),
      full('newer', '5-1', { names: ['mail:newer'] }),
      gone('deleted', '9-0'),
    ])
    await open.sink.beginLoad('L', soon())
    await open.apply(
      'user',
      [
        row('in-load', '5-0', { names: ['mail:in'] }),
        row('same', '5-0', { names: ['mail:same'], n: 2 }),
        row('deleted', '5-0', { names: [] }),
      ],
      { load: 'L' },
    )
    await open.apply('user', [full('live', '6-0', { names: [] })], { load: 'L' })
    const seen: number[] = []
    const { removed } = await open.sink.finishLoad('L', id('5-0'), {
      signal: soon(),
      progress: (scanned) => void seen.push(scanned),
    })
    assert.equal(removed, 2)
    assert.ok(seen.length > 0)
    assert.deepEqual(await store.ids('user'), ['in-load', 'live', 'newer', 'same'])
    assert.equal(await store.entity('user', 'same'), '{"names":["mail:same"],"n":2}')
    assert.equal(await store.lookup('user', 'mail:missing'), undefined)
    assert.equal(await store.lookup('user', 'mail:old'), undefined)
    assert.equal(await store.lookup('user', 'mail:in'), 'in-load')
    assert.equal(await store.lookup('user', 'mail:newer'), 'newer')
  })
  it('a row is stored again at the same version, and never over a newer one', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink())
    await open.sink.beginLoad('L', soon())
    await open.apply('company', [full('a', '9-0', { live: 1 }), row('b', '5-0', { n: 1 })], { load: 'L' })
    const outcome = await open.apply(
      'company',
      [row('a', '5-0', { row: 1 }), row('b', '5-0', { n: 2 }), full('b2', '5-0', {})],
      { load: 'L' },
    )
    assert.deepEqual([outcome.applied, outcome.skippedAsOlder], [2, 1])
    assert.equal(await store.entity('company', 'a'), '{"live":1}')
    assert.equal(await store.entity('company', 'b'), '{"n":2}')
    await finish(open, 'L', '5-0')
    assert.deepEqual(await store.ids('company'), ['a', 'b', 'b2'])
  })
  it('begun and finished twice is begun and finished once', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink())
    await open.sink.beginLoad('L', soon())
    await open.apply('company', [row('a', '5-0')], { load: 'L' })
    await open.sink.beginLoad('L', soon())
    for (const _ of [1, 2]) assert.deepEqual(await finish(open, 'L', '5-0'), { removed: 0 })
    assert.deepEqual(await store.ids('company'), ['a'])
  })
  it('a load that another one has replaced cannot finish', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink())
    await open.apply('company', [full('a', '1-0', {})])
    await open.sink.beginLoad('one', soon())
    await open.sink.beginLoad('two', soon())
    await assert.rejects(finish(open, 'one', '5-0'), hasCode('SLUICE_CONFLICT'))
    assert.deepEqual(await store.ids('company'), ['a'])
    assert.equal((await open.reopen()).load, undefined)
  })
  it('thousands are removed in steps', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink())
    const all = Array.from({ length: 3_000 }, (_, at) => full(`e${at}`, '1-0', {}))
    await open.apply('company', all)
    await open.sink.beginLoad('L', soon())
    await open.apply(
      'company',
      all.filter((_, at) => at % 3 === 0).map((one) => ({ ...one, at: id('2-0'), fromLoad: true })),
      { load: 'L' },
    )
    assert.deepEqual(await finish(open, 'L', '2-0'), { removed: 2_000 })
    assert.equal((await store.ids('company')).length, 1_000)
  })
}
