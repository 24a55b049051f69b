/** What the bridge writes: all of a batch or none, in its order, and what is known not again. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Engine } from '../../../src/engine/engine.ts'
import { Topics } from '../../../src/engine/log/topics.ts'
import { Inbox, type InboxEvent } from '../../../src/events/bridge/inbox.ts'
import { place, type Peer } from '../support.ts'

const KEEP_MS = 60_000

interface Opened {
  readonly inbox: Inbox
  /** Hints that were given. */
  readonly hints: string[]
  readonly bodies: () => Promise<readonly string[]>
}

/** On the tables of an events component, beside it. */
function open({ db }: Peer, keepMs = KEEP_MS): Opened {
  const hints: string[] = []
  const engine = {
    db,
    queues: { id: () => Promise.resolve(1) },
    wake: { signal: (topic: string) => void hints.push(topic) },
  }
  const bodies = async (): Promise<readonly string[]> => {
    const rows = await db.query<{ body: string }>('select body from sluice.event order by id')
    return rows.map(({ body }) => body)
  }
  return { inbox: new Inbox(engine as unknown as Engine, new Topics(db), keepMs), hints, bodies }
}

const arrived = (id: string, body: string): InboxEvent => ({
  id,
  source: '/others',
  topic: 'others.made',
  version: 1,
  key: 'k',
  headers: {},
  traceparent: undefined,
  requestId: undefined,
  time: new Date(0),
  body,
})

test('a batch is in the log in the order in which it arrived, whatever its ids are', async () => {
  await using here = await place()
  const { inbox, bodies, hints } = open(await here.peer())
  // Neither sorted by id nor by a hash of it.
  const events = Array.from({ length: 400 }, (_, n) => arrived(`${(n * 7_919) % 401}`, `${n}`))
  assert.equal(await inbox.store(events), 400)
  assert.deepEqual(
    await bodies(),
    events.map(({ body }) => body),
  )
  assert.deepEqual(hints, ['log'])
})

test('what is known is not written again, and what is new beside it is', async () => {
  await using here = await place()
  const { inbox, bodies } = open(await here.peer())
  assert.equal(await inbox.store([arrived('b', '1'), arrived('d', '2')]), 2)
  const again = [
    arrived('e', '3'),
    arrived('d', '2'),
    arrived('a', '4'),
    arrived('a', '4'),
    arrived('b', '1'),
  ]
  assert.equal(await inbox.store(again), 2)
  assert.equal(await inbox.store(again), 0)
  assert.deepEqual(await bodies(), ['1', '2', '3', '4'])
})

test('an id is known for as long as it is kept', async () => {
  await using here = await place()
  const { inbox, bodies } = open(await here.peer(), 0)
  assert.equal(await inbox.store([arrived('a', '1')]), 1)
  assert.equal(await inbox.store([arrived('a', '2')]), 1)
  assert.deepEqual(await bodies(), ['1', '2'])
})

test('of a batch of which one cannot be stored nothing is, and no id is remembered', async () => {
  await using here = await place()
  const { inbox, bodies } = open(await here.peer())
  const bad = { ...arrived('b', '2'), version: 100_000 }
  await assert.rejects(() => inbox.store([arrived('a', '1'), bad]))
  assert.deepEqual(await bodies(), [])
  assert.equal(await inbox.store([arrived('a', '1')]), 1)
})
