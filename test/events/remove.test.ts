/** Subscriptions that are taken out of the database, and such that ask for what cannot be. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { openComponent } from '../../src/testing/connect-component.ts'
import { postgres } from '../../src/components/postgres/index.ts'
import { event, events } from '../../src/events/index.ts'
import { anything, place, Seen, until } from './support.ts'

const A = event('a.made', anything<{ n: number }>())

test('a subscription is removed with all that is its own, and begins anew under its name', async () => {
  await using here = await place()
  const peer = await here.peer()
  const options = { attempts: 1, from: 'beginning', ordered: 'key' } as const
  const first = peer.events.subscribe(A, 'reader', () => Promise.reject(new Error('never')), options)
  await first.ready()
  await peer.events.publish(A, { n: 1 })
  await until(
    () => peer.events.deadLetters.list(),
    (letters) => letters.length === 1,
  )
  await peer.events.replay('reader', { from: 'beginning' })
  await assert.rejects(peer.events.remove('reader'), {
    code: 'SLUICE_CONFLICT',
    message: /live processes that have it: 1/,
  })
  await first.stop()
  await until(
    () => peer.events.lag(),
    ([each]) => each?.processes === 0,
  )
  const { dead } = await peer.events.remove('reader')
  assert.ok(dead >= 1)
  assert.deepEqual(await peer.events.lag(), [])
  assert.deepEqual(await peer.events.deadLetters.list(), [])
  assert.deepEqual(await peer.events.replays(), [])
  assert.deepEqual(await peer.db.query(`select 1 from sluice.lease where kind in ('s', 'r')`), [])
  await assert.rejects(peer.events.remove('reader'), {
    code: 'SLUICE_INVALID_ARGUMENT',
    message: /no subscription is called "reader"/,
  })
  const seen = new Seen<number>()
  peer.events.subscribe(A, 'reader', ({ data }) => seen.add(data.n), { from: 'beginning', shards: 2 })
  await seen.atLeast(1)
  assert.deepEqual(seen.all, [1])
})

test('a program that asks for another number of shards is told, and publishes and reads all else', async () => {
  await using here = await place()
  const one = await here.peer()
  const reader = one.events.subscribe(A, 'reader', () => {})
  await reader.ready()
  await using db = await connectComponent(postgres({ dsn: here.dsn, maxOpenConns: 4 }))
  await using two = await openComponent(events(), { required: { postgres: db.api } })
  const seen = new Seen<number>()
  const refused = two.api.subscribe(A, 'reader', () => {}, { shards: 4 })
  two.api.subscribe(A, 'other', ({ data }) => seen.add(data.n), { from: 'beginning' })
  await two.connect()
  await assert.rejects(refused.ready(), {
    code: 'SLUICE_CONFLICT',
    message: /has 1 shards, and this program asks for 4/,
  })
  await two.api.publish(A, { n: 1 })
  await seen.atLeast(1)
  assert.deepEqual(seen.all, [1])
  assert.equal((await one.events.lag()).find(({ name }) => name === 'reader')?.processes, 1)
})
