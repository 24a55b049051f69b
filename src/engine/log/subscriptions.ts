/**
 * Rows of subscriptions. The first process that names one makes it, with a cursor for each shard: at the oldest tick, or
 * at a tick of now.
 */
import { SluiceError } from '../../core/errors.ts'
import type { EngineDatabase } from '../database.ts'
import type { Engine } from '../engine.ts'
import { TICK_GAP_MS, writeTick } from './tick.ts'

export interface SubscriptionRow {
  readonly id: number
  readonly shards: number
  /** Tasks of deliveries that failed. */
  readonly queue: number
}

export interface NewSubscription {
  readonly name: string
  readonly patterns: readonly string[]
  readonly shards: number
  readonly from: 'now' | 'beginning'
}

/** Name of the queue of a subscription's retries. */
export function retryQueue(subscription: string): string {
  return `events/${subscription}`
}

const FIND = 'select id, shards, queue from sluice.sub where name = $1'

/**
 * in: $1 name, $2 patterns, $3 shards, $4 queue, $5 tick; null for the oldest
 * effect: rows of sluice.sub and sluice.lease, where the name is new
 */
const ENSURE = `
with s as (
  insert into sluice.sub (name, patterns, shards, queue) values ($1, $2, $3, $4)
  on conflict (name) do nothing
  returning id)
insert into sluice.lease (kind, ref, shard, tick, moved)
select 's', s.id, g, coalesce($5::bigint, (select min(n) from sluice.tick)), clock_timestamp()
from s, generate_series(0, $3::int - 1) g
on conflict (kind, ref, shard) do nothing`

/** The subscription, made where it is new. SLUICE_CONFLICT where it has another number of shards. */
export async function ensureSubscription(
  engine: Pick<Engine, 'db' | 'clock' | 'queues'>,
  wanted: NewSubscription,
  signal: AbortSignal,
): Promise<SubscriptionRow> {
  const { db } = engine
  const { name, patterns, shards, from } = wanted
  const queue = await engine.queues.id(retryQueue(name))
  const there = await db.queryOne(FIND, [name], { label: 'sluice.sub' })
  const tick = there !== undefined || from === 'beginning' ? null : await tickOfNow(engine, signal)
  await db.execute(ENSURE, [name, patterns, shards, queue, tick], {
    label: 'sluice.sub.ensure',
    idempotent: true,
  })
  const row = await db.queryOne<SubscriptionRow>(FIND, [name], { label: 'sluice.sub' })
  if (row === undefined) {
    throw new SluiceError('SLUICE_UNAVAILABLE', `subscription "${name}" was removed in this moment`, {
      retryable: true,
    })
  }
  if (row.shards === shards) return row
  throw new SluiceError(
    'SLUICE_CONFLICT',
    `subscription "${name}" has ${row.shards} shards, and this program asks for ${shards}`,
    {
      hint: 'Use the same number in all programs, or another name; or stop them all and remove the subscription.',
    },
  )
}

/** Between two attempts while others write ticks. */
const TRIES = 50

/** A tick in which everything that is committed by now is visible. */
export async function tickOfNow(
  { db, clock }: Pick<Engine, 'db' | 'clock'>,
  signal: AbortSignal,
): Promise<string> {
  for (let i = 0; i < TRIES; i++) {
    if ((await writeTick(db, signal)) !== 'busy') break
    await clock.sleep(TICK_GAP_MS, { signal })
  }
  return newestTick(db)
}

export async function newestTick(db: EngineDatabase): Promise<string> {
  const row = await db.queryOne<{ n: string }>('select max(n) as n from sluice.tick', [], {
    label: 'sluice.tick.newest',
    idempotent: true,
  })
  // The first is written with the tables, and the newest is never deleted.
  return row!.n
}
