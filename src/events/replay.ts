/**
 * One replay at work: pages of the past, the events of the subscription among them to its handler, no faster than asked
 * for. It has a cursor of its own, so what is live goes on beside it. Events that fail become tasks, as live ones do.
 */
import { backoffMs } from '../core/backoff.ts'
import { hasCode, toError } from '../core/errors.ts'
import type { ShardLease } from '../engine/leases.ts'
import type { LogInterest } from '../engine/log/reader.ts'
import { listReplays, moveReplay, readReplayCursor, type ReplayRow } from '../engine/log/replays.ts'
import { nextWindow, readPage, type Page, type Position } from '../engine/log/window.ts'
import { enqueueTasks } from '../engine/tasks/enqueue.ts'
import type { SpilledHead } from '../engine/log/spill.ts'
import type { StoredEvent } from './decode.ts'
import type { SubscriberParts } from './parts.ts'
import { inTransaction } from './transaction.ts'

/** Pieces of a second in which the rate is kept. */
const SLICES = 10
const BACKOFF = { baseMs: 200, capMs: 10_000 }

export async function runReplay(
  parts: SubscriberParts,
  interest: LogInterest,
  id: number,
  lease: ShardLease,
): Promise<void> {
  const { engine } = parts
  const cursor = { ref: id, shard: 0, owner: lease.owner, epoch: lease.epoch }
  for (let failures = 1; !lease.draining.aborted; failures++) {
    try {
      const [row] = await listReplays(engine.db, { id })
      let position = await readReplayCursor(engine.db, id)
      if (row === undefined || row.finished !== null || position === undefined) return
      await interest.learn(Infinity)
      while (!lease.draining.aborted) {
        await parts.gate.wait(lease.draining)
        const page = await pageBehind(parts, interest, position, row.upto)
        const isLast = page === undefined || BigInt(page.till) >= BigInt(row.upto)
        if (page !== undefined) {
          const moved = await deliverPage(parts, interest, row, page, lease, (to, count) =>
            moveReplay(engine.db, cursor, to, count, false),
          )
          if (!moved || lease.draining.aborted) return
          position = page.to
        }
        const isOver = isLast && position.till === null
        if (!(await moveReplay(engine.db, cursor, position, 0, isOver)) || isOver) return
      }
    } catch (error) {
      if (lease.draining.aborted || hasCode(error, 'SLUICE_LEASE_LOST')) return
      parts.log.warn({ err: toError(error), replay: id }, 'a replay could not go on, and tries again')
      const ms = 10 + backoffMs(failures, engine.random(), BACKOFF)
      await engine.clock.sleep(ms, { signal: lease.draining }).catch(() => {})
    }
  }
}

/** Undefined where there is no later tick. Its pages are its own: nobody else stands there. */
async function pageBehind(
  { engine }: SubscriberParts,
  interest: LogInterest,
  from: Position,
  upto: string,
): Promise<Page | undefined> {
  let { till } = from
  if (till === null) {
    const window = await nextWindow(engine.db, from.tick, upto)
    if (window === undefined) return undefined
    // This process may hold no shard, and then has read nothing that told it of topics.
    await interest.learn(window.newestTopic)
    till = window.till
  }
  return readPage(engine.db, [...interest.topics], from, till)
}

/** False where the replay was cancelled, or is another's. */
async function deliverPage(
  parts: SubscriberParts,
  { topics }: LogInterest,
  row: ReplayRow,
  page: Page,
  lease: ShardLease,
  move: (to: Position, count: number) => Promise<boolean>,
): Promise<boolean> {
  const { engine, spec, decoded } = parts
  const events = decoded(page).filter(({ row: each }) => topics.has(each.topic) && isAsked(each, row))
  const slice = Math.max(1, Math.floor(row.rate / SLICES))
  for (let from = 0; from < events.length; from += slice) {
    const started = engine.clock.monotonic()
    const batch = events.slice(from, from + slice)
    const size = spec.handler.kind === 'batch' ? spec.handler.size : 1
    for (let at = 0; at < batch.length; at += size) {
      lease.signal.throwIfAborted()
      if (lease.draining.aborted) return true
      await deliver(parts, batch.slice(at, at + size), String(row.id), lease.signal)
    }
    const last = batch.at(-1)
    if (
      last !== undefined &&
      !(await move({ tick: page.from.tick, till: page.till, pos: last.row.id }, batch.length))
    ) {
      return false
    }
    const wait = (batch.length / row.rate) * 1_000 - (engine.clock.monotonic() - started)
    if (wait > 0) await engine.clock.sleep(wait, { signal: lease.draining })
  }
  return true
}

async function deliver(
  parts: SubscriberParts,
  events: readonly StoredEvent[],
  replay: string,
  signal: AbortSignal,
): Promise<void> {
  const { engine, spec, attempts, row } = parts
  const outcome = spec.transaction
    ? await together(parts, events, replay, signal)
    : await attempts.run(events, { attempt: 1, signal, replay })
  signal.throwIfAborted()
  parts.delivered.add(events.length)
  const failed = events.filter((_, index) => outcome[index] !== undefined)
  if (failed.length === 0) return
  await enqueueTasks(
    engine.db,
    failed.map(({ row: each, topic }) => {
      const head: SpilledHead = {
        id: each.id,
        version: each.version,
        at: each.at,
        key: each.key,
        head: each.head,
      }
      return {
        queue: row.queue,
        prio: 5,
        shard: 0,
        delay: backoffMs(1, engine.random(), spec.backoff),
        max_attempt: spec.attempts,
        name: topic,
        uniq: `e${each.id}`,
        body: each.body ?? '',
        head: JSON.stringify(head),
      }
    }),
  )
  engine.wake.signal(`q${row.queue}`)
}

/** A transaction that failed leaves all of them to be tried again, each by itself. */
async function together(
  { engine, spec, attempts }: SubscriberParts,
  events: readonly StoredEvent[],
  replay: string,
  signal: AbortSignal,
): Promise<readonly (Error | undefined)[]> {
  let error: Error | undefined
  try {
    error = await inTransaction({ engine, spec, label: 'sluice.replay', signal }, async (tx) => {
      const outcome = await attempts.run(events, { attempt: 1, signal, replay, tx })
      const failure = outcome.find((each) => each !== undefined)
      if (failure !== undefined) throw failure
    })
  } catch (thrown) {
    error = toError(thrown)
  }
  return error === undefined ? [] : events.map(() => error)
}

function isAsked({ id, at }: { readonly id: string; readonly at: number }, row: ReplayRow): boolean {
  if (row.minId !== null && BigInt(id) < BigInt(row.minId)) return false
  return row.minAt === null || at >= row.minAt
}
