import assert from 'node:assert/strict'
import { it } from 'node:test'
import { eventually, full, gone, id, openSink, soon, batch, type Stage } from '../support.ts'

export function applyConformance(stage: () => Promise<Stage>): void {
  it('a new store has no cursor and no load', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink())
    assert.deepEqual(open.state, { cursor: undefined, load: undefined })
  })
  it('an entity is stored as the text that came', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink())
    const texts = [
      '{"empty":[],"none":{},"large":12345678901234567890,"tiny":1e-400,"one":1.0}',
      '{ "spaced" : "ünï©ode 🙂 \\u0000 \\" \\n" }',
      `{"long":"${'x'.repeat(100_000)}"}`,
    ]
    const changes = texts.map((text, at) => full(`e${at}`, '5-0', text))
    const outcome = await open.apply('company', changes)
    assert.deepEqual(outcome, { applied: 3, skippedAsOlder: 0, dead: [], waiting: [] })
    for (const [at, text] of texts.entries()) assert.equal(await store.entity('company', `e${at}`), text)
  })
  it('an id may be any text', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink())
    const names = [
      '__proto__',
      'a b',
      "'",
      '"',
      'line\nbreak',
      '{x}',
      'ü🙂',
      'a:b',
      '*',
      '\0',
      'x'.repeat(500),
    ]
    await open.apply(
      'user',
      names.map((name, at) => full(name, '1-0', { at, names: [`nr:${at}`] })),
    )
    for (const [at, name] of names.entries()) {
      assert.equal(await store.entity('user', name), JSON.stringify({ at, names: [`nr:${at}`] }))
      assert.equal(await store.lookup('user', `nr:${at}`), name)
    }
    await open.apply(
      'user',
      names.map((name) => gone(name, '2-0')),
    )
    assert.deepEqual(await store.ids('user'), [])
  })
  it('only what is newer is stored, and ids are compared as numbers', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink())
    const rising = [
      '0-1',
      '9-1',
      '10-0',
      '10-9',
      '10-10',
      '999-5',
      '1700000000000-2',
      '9007199254740991-9007199254740991',
    ]
    for (const at of rising) {
      const outcome = await open.apply('company', [full('a', at, { at })])
      assert.equal(outcome.applied, 1, at)
    }
    for (const at of rising) {
      const outcome = await open.apply('company', [full('a', at, { at: 'older' })])
      assert.deepEqual([outcome.applied, outcome.skippedAsOlder], [0, 1], at)
    }
    assert.equal(await store.entity('company', 'a'), JSON.stringify({ at: rising.at(-1) }))
  })
  it('what is the newest of its key in this process is still older than what another session stored', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink())
    const ascending = { ascending: true }
    await open.apply('company', [full('a', '5-0', { n: 5 }, ascending), full('b', '7-0', {}, ascending)])
    await open.apply('company', [full('a', '6-0', { n: 6 }, ascending)])
    await open.reopen()
    const late = [full('a', '5-0', { n: 'late' }, ascending), full('c', '5-0', { n: 'new' }, ascending)]
    const outcome = await open.apply('company', late)
    assert.deepEqual([outcome.applied, outcome.skippedAsOlder], [1, 1])
    assert.equal(await store.entity('company', 'a'), '{"n":6}')
    assert.equal(await store.entity('company', 'c'), '{"n":"new"}')
    // In one batch with what needs no look.
    const mixed = [full('a', '8-0', { n: 8 }, ascending), full('b', '6-0', { n: 'late' }, ascending)]
    assert.equal((await open.apply('company', mixed)).skippedAsOlder, 1)
    assert.equal(await store.entity('company', 'a'), '{"n":8}')
    assert.equal(await store.entity('company', 'b'), '{}')
  })
  it('what was deleted is brought back only by what is newer', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink())
    await open.apply('company', [full('a', '5-0', { n: 1 })])
    assert.equal((await open.apply('company', [gone('a', '6-0'), gone('never', '6-0')])).applied, 2)
    assert.equal(await store.entity('company', 'a'), undefined)
    const late = [full('a', '5-9', { n: 2 }), full('never', '6-0', { n: 2 })]
    assert.equal((await open.apply('company', late)).skippedAsOlder, 2)
    assert.deepEqual(await store.ids('company'), [])
    await open.apply('company', [full('a', '6-1', { n: 3 })])
    assert.equal(await store.entity('company', 'a'), '{"n":3}')
  })
  it('a deleted id is forgotten after its time', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink({ tombstoneMs: 20 }))
    await open.apply('company', [gone('a', '6-0')])
    await eventually(async () => {
      // Whatever comes lets the sink look for what is to be forgotten.
      await open.apply('company', [gone('other', `${Date.now()}-0`)])
      const outcome = await open.apply('company', [full('a', '5-0', {})])
      return outcome.applied === 1 ? true : undefined
    })
    assert.equal(await store.entity('company', 'a'), '{}')
  })
  it('an entity of a lane with a time to live is gone after it, and its other names with it', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink())
    await open.apply('visit', [full('a', '5-0', { seen: 1 })])
    await eventually(async () => {
      // Whatever comes lets the sink look for what is to be forgotten.
      await open.apply('visit', [full('b', `${Date.now()}-0`, { seen: 2 })])
      const isGone = (await store.entity('visit', 'a')) === undefined
      return isGone && (await store.lookup('visit', 'seen:1')) === undefined ? true : undefined
    })
    await eventually(async () => {
      // Its version is forgotten as well, so that what comes again is stored.
      await open.apply('visit', [full('b', `${Date.now()}-0`, { seen: 2 })])
      return (await open.apply('visit', [full('a', '4-0', { seen: 1 })])).applied === 1 ? true : undefined
    })
  })
  it('a batch of thousands is stored, with its cursor', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink())
    const changes = Array.from({ length: 2_500 }, (_, at) => full(`e${at}`, `7-${at}`, { at }))
    const outcome = await open.apply('company', changes, { cursor: id('7-2499') })
    assert.equal(outcome.applied, 2_500)
    assert.equal((await store.ids('company')).length, 2_500)
    assert.equal((await open.apply('company', changes)).skippedAsOlder, 2_500)
    for (const lane of ['user', 'visit']) await open.apply(lane, [], { cursor: id('9-0') })
    assert.deepEqual((await open.reopen()).cursor, id('7-2499'))
  })
  it('batches of different keys may be under way at once', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink())
    const outcomes = await Promise.all(
      Array.from({ length: 24 }, (_, turn) =>
        open.apply(
          ['company', 'user'][turn % 2]!,
          Array.from({ length: 20 }, (_unused, at) => full(`e${turn}-${at}`, `1-${turn}`, {})),
        ),
      ),
    )
    assert.ok(outcomes.every(({ applied }) => applied === 20))
    assert.equal((await store.ids('company')).length, 240)
  })
  it('the cursor only rises, and the lowest of all lanes counts', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink())
    await open.apply('company', [], { cursor: id('10-0') })
    assert.equal((await open.reopen()).cursor, undefined)
    await open.apply('user', [], { cursor: id('9-7') })
    await open.apply('visit', [], { cursor: id('100-0') })
    assert.deepEqual((await open.reopen()).cursor, id('9-7'))
    await open.apply('user', [], { cursor: id('9-5') })
    assert.deepEqual((await open.reopen()).cursor, id('9-7'))
    await open.apply('user', [], { cursor: id('11-0') })
    assert.deepEqual((await open.reopen()).cursor, id('10-0'))
  })
  it('check resolves while it is open; nothing works before and after', async () => {
    await using store = await stage()
    const open = await openSink(store.sink())
    await open.sink.check(soon())
    assert.deepEqual(await store.ids('company'), [])
    await open.sink.close(soon())
    await open.sink.close(soon())
    await assert.rejects(open.sink.check(soon()))
    await assert.rejects(open.apply('company', []))
    await open.reopen()
    await open.apply('company', [full('a', '1-0', {})])
    await open.sink.close(soon())
  })
  it('a signal that has aborted rejects with its reason, and nothing is stored', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink())
    const reason = new Error('no more')
    const ended = AbortSignal.abort(reason)
    const isReason = (error: unknown): boolean => error === reason
    await assert.rejects(open.sink.apply(batch('company', [full('a', '1-0', {})]), ended), isReason)
    await assert.rejects(open.sink.beginLoad('one', ended), isReason)
    await assert.rejects(open.sink.check(ended), isReason)
    assert.deepEqual(await store.ids('company'), [])
  })
  it('what inspect says is JSON', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink())
    assert.deepEqual(JSON.parse(JSON.stringify(open.sink.inspect())), open.sink.inspect())
  })
}
