import assert from 'node:assert/strict'
import { it } from 'node:test'
import { full, gone, openSink, type Stage } from '../support.ts'

export function lookupsConformance(stage: () => Promise<Stage>): void {
  it('an entity is found by its other names, and no longer by those it lost', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink())
    await open.apply('user', [full('u', '1-0', { names: ['mail:a', 'nick:a', 'mail:a'] })])
    assert.equal(await store.lookup('user', 'mail:a'), 'u')
    assert.equal(await store.lookup('user', 'nick:a'), 'u')
    await open.apply('user', [full('u', '2-0', { names: ['mail:b', 'nick:a'] })])
    assert.equal(await store.lookup('user', 'mail:a'), undefined)
    assert.equal(await store.lookup('user', 'mail:b'), 'u')
    await open.apply('user', [gone('u', '3-0')])
    for (const name of ['mail:a', 'mail:b', 'nick:a'])
      assert.equal(await store.lookup('user', name), undefined)
  })
  it('an older state changes no names', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink())
    await open.apply('user', [full('u', '5-0', { names: ['mail:new'] })])
    await open.apply('user', [full('u', '4-0', { names: ['mail:old'] })])
    assert.equal(await store.lookup('user', 'mail:old'), undefined)
    assert.equal(await store.lookup('user', 'mail:new'), 'u')
  })
  for (const how of ['one batch', 'stream order', 'the other order'] as const) {
    it(`a name moves from one entity to another: ${how}`, async () => {
      await using store = await stage()
      await using open = await openSink(store.sink())
      await open.apply('user', [full('from', '1-0', { names: ['mail:x'] }), full('to', '1-0', { names: [] })])
      const leave = full('from', '2-0', { names: [] })
      const take = full('to', '3-0', { names: ['mail:x'] })
      if (how === 'one batch') await open.apply('user', [take, leave])
      else {
        for (const each of how === 'stream order' ? [leave, take] : [take, leave])
          await open.apply('user', [each])
      }
      assert.equal(await store.lookup('user', 'mail:x'), 'to')
    })
  }
  it('the newest of two who claim a name has it, whoever comes first', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink())
    await open.apply('user', [full('newer', '9-0', { names: ['mail:x'] })])
    await open.apply('user', [full('older', '8-0', { names: ['mail:x'] })])
    assert.equal(await store.lookup('user', 'mail:x'), 'newer')
    await open.apply('user', [full('older', '8-5', { names: [] })])
    assert.equal(await store.lookup('user', 'mail:x'), 'newer')
  })
  it('lookups that throw, or are no names, bury the entity and nothing else', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink())
    const bad: readonly unknown[] = ['text', [1], [''], ['a\0b'], ['x'.repeat(513)]]
    const outcome = await open.apply('user', [
      ...bad.map((names, at) => full(`bad${at}`, '1-0', { names })),
      full('good', '1-0', { names: ['mail:g'] }),
    ])
    assert.equal(outcome.applied, 1)
    assert.deepEqual(
      outcome.dead.map(({ reason }) => reason),
      bad.map(() => 'refused'),
    )
    assert.deepEqual(await store.ids('user'), ['good'])
  })
}
