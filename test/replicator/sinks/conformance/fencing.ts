import assert from 'node:assert/strict'
import { it } from 'node:test'
import {
  context,
  eventually,
  full,
  hasCode,
  id,
  openSink,
  soon,
  stalledClock,
  type Stage,
} from '../support.ts'

const isLost = hasCode('SLUICE_LEASE_LOST')

export function fencingConformance(stage: () => Promise<Stage>): void {
  it('a second writer waits until the first one closes, and starts at once then', async () => {
    await using store = await stage()
    await using first = await openSink(store.sink({ leaseMs: 60_000 }))
    await first.apply('company', [full('a', '1-0', {})], { cursor: id('1-0') })
    const waits = Promise.withResolvers<void>()
    const opening = openSink(store.sink({ leaseMs: 60_000 }), { onWaiting: waits.resolve })
    await waits.promise
    await first.apply('company', [full('b', '2-0', {})])
    await first.sink.close(soon())
    await using second = await opening
    await second.apply('company', [full('c', '3-0', {})])
    assert.deepEqual(await store.ids('company'), ['a', 'b', 'c'])
    assert.deepEqual(first.losses, [])
  })
  it('a wait for the lease ends with its signal, and leaves nothing taken', async () => {
    await using store = await stage()
    await using first = await openSink(store.sink(), { lanes: ['user'] })
    const controller = new AbortController()
    const reason = new Error('no more')
    const second = store.sink()(context())
    const opening = second.open({
      lanes: ['company', 'user'],
      onLost: () => {},
      onWaiting: () => controller.abort(reason),
      signal: controller.signal,
    })
    await assert.rejects(opening, (error) => error === reason)
    await using third = await openSink(store.sink(), { lanes: ['company'] })
    await third.apply('company', [])
    await first.apply('user', [])
  })
  it('a lease is renewed while its writer lives, whether it writes or not', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink({ leaseMs: 300 }))
    await store.expireLeases()
    await eventually(async () => ((await store.isLeased('company')) ? true : undefined))
    await open.apply('company', [full('a', '1-0', {})])
    assert.deepEqual(open.losses, [])
  })
  it('one that waits takes over when the lease runs out', async () => {
    await using store = await stage()
    await using first = await openSink(store.sink({ leaseMs: 100 }), { clock: stalledClock })
    await using second = await openSink(store.sink())
    await second.apply('company', [full('a', '1-0', {})])
    await assert.rejects(first.apply('company', []), isLost)
  })
  it('one that stood still for longer than its lease is refused once another has taken over', async () => {
    await using store = await stage()
    await using first = await openSink(store.sink(), { clock: stalledClock })
    await first.apply('company', [full('a', '1-0', { by: 'first' })])
    await store.expireLeases()
    await using second = await openSink(store.sink())
    const late = [full('a', '9-0', { by: 'first' }), full('b', '9-0', {})]
    await assert.rejects(first.apply('company', late, { cursor: id('9-0') }), isLost)
    await assert.rejects(first.apply('user', [full('u', '9-0', { names: ['x:y'] })]), isLost)
    await assert.rejects(first.sink.beginLoad('L', soon()), isLost)
    assert.equal(first.losses.length, 1)
    assert.equal(await store.entity('company', 'a'), '{"by":"first"}')
    assert.deepEqual(await store.ids('company'), ['a'])
    await first.sink.close(soon())
    await second.apply('company', [full('a', '2-0', { by: 'second' })])
    assert.equal(await store.entity('company', 'a'), '{"by":"second"}')
    assert.deepEqual(second.losses, [])
  })
  it('one that stood still goes on where nobody took over', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink(), { clock: stalledClock })
    await store.expireLeases()
    await open.apply('company', [full('a', '1-0', {})])
    assert.deepEqual(open.losses, [])
  })
  it('an emptied store is noticed, and opened anew it is empty', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink())
    await open.apply('company', [full('a', '1-0', {})], { cursor: id('1-0') })
    await store.empty()
    await assert.rejects(open.apply('company', [full('b', '2-0', {})], { cursor: id('2-0') }), isLost)
    assert.equal(open.losses.length, 1)
    assert.deepEqual(await store.ids('company'), [])
    assert.deepEqual(await open.reopen(), { cursor: undefined, load: undefined })
    await open.apply('company', [full('a', '1-0', {})])
  })
  it('two who take over from each other all the time never write together', async () => {
    await using store = await stage()
    let at = 0
    let stored = 0
    const writer = async (): Promise<void> => {
      await using open = await openSink(store.sink({ leaseMs: 100 }), { clock: stalledClock })
      for (let turn = 0; turn < 5; turn++) {
        try {
          at += 1
          stored += (await open.apply('company', [full('shared', `${at}-0`, { at })])).applied
        } catch (error) {
          if (!isLost(error)) throw error
          return
        }
      }
    }
    await Promise.all([writer(), writer(), writer()])
    assert.ok(stored > 0)
  })
}
