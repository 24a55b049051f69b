/** An event to several readers: what each contender does to store events and to hand every one of them to each reader. */
import { z } from 'zod'
import { postgres } from '../../src/components/postgres/index.ts'
import { event, events, type Events, type Subscription } from '../../src/events/index.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { peer } from '../harness/peers.ts'
import { batches, Counter, payload } from './queue.ts'

export interface OpenTopic {
  /** Stores `count` events for every reader. */
  fill(count: number): Promise<void>
  publish(): Promise<void>
  /** Milliseconds from the first handler until the ends of `count` events are stored for each reader. */
  drain(count: number): Promise<number>
  close(): Promise<void>
}

interface Boss {
  on(event: 'error', handler: (error: Error) => void): void
  start(): Promise<unknown>
  stop(options: Record<string, unknown>): Promise<void>
  createQueue(name: string, options?: Record<string, unknown>): Promise<void>
  subscribe(event: string, queue: string): Promise<void>
  publish(event: string, data: unknown): Promise<unknown>
  insert(name: string, jobs: readonly unknown[]): Promise<unknown>
  work(
    name: string,
    options: Record<string, unknown>,
    handler: (jobs: readonly unknown[]) => Promise<void>,
  ): Promise<string>
  offWork(name: string, options?: Record<string, unknown>): Promise<void>
}

const FILL_BATCH = 5_000
export const NOTED = event('bench.noted', z.object({ id: z.number(), to: z.string() }))

/** `batch`: events handed to a handler at once; without it, handlers of one event at the defaults. */
export function subscribe(
  api: Events,
  reader: string,
  counter: { readonly batch: (items: number) => void },
  batch?: number,
): Subscription {
  return batch === undefined
    ? api.subscribe(NOTED, reader, () => counter.batch(1), { from: 'beginning' })
    : api.subscribe(NOTED, reader, ({ events: given }) => counter.batch(given.length), {
        from: 'beginning',
        batch,
      })
}

export async function openSluice(dsn: string, readers: number, batch?: number): Promise<OpenTopic> {
  const db = await connectComponent(postgres({ dsn }), { name: 'db' })
  const log = await connectComponent(events(), { required: { postgres: db.api } })
  const { api } = log
  return {
    async fill(count) {
      for (const items of batches(count, FILL_BATCH)) {
        await api.publishMany(
          NOTED,
          items.map((data) => ({ data })),
        )
      }
    },
    async publish() {
      await api.publish(NOTED, payload(0))
    },
    async drain(count) {
      const counter = new Counter(count * readers)
      const read = Array.from({ length: readers }, (_, at) => subscribe(api, `reader-${at}`, counter, batch))
      await counter.last
      // Resolves when the places in the log are stored.
      await Promise.all(read.map((each) => each.stop()))
      return counter.elapsed()
    },
    async close() {
      await log.close()
      await db.close()
    },
  }
}

export async function openPgBoss(dsn: string, readers: number): Promise<OpenTopic> {
  const { PgBoss } = await peer<{ PgBoss: new (options: Record<string, unknown>) => Boss }>('pg-boss')
  const boss = new PgBoss({ connectionString: dsn, schedule: false, supervise: false, max: 10 })
  boss.on('error', () => {})
  await boss.start()
  const queues = Array.from({ length: readers }, (_, at) => `reader-${at}`)
  for (const queue of queues) {
    await boss.createQueue(queue, { retryLimit: 0 })
    await boss.subscribe('bench.noted', queue)
  }
  return {
    // The rows that as many calls of `publish` would write, which has no form for many.
    async fill(count) {
      for (const items of batches(count, FILL_BATCH)) {
        const rows = items.map((data) => ({ data }))
        for (const queue of queues) await boss.insert(queue, rows)
      }
    },
    async publish() {
      await boss.publish('bench.noted', payload(0))
    },
    async drain(count) {
      const counter = new Counter(count * readers)
      for (const queue of queues) {
        await boss.work(
          queue,
          { batchSize: 2_000, pollingIntervalSeconds: 0.5, burstWhenBatchFull: true },
          async (jobs) => counter.batch(jobs.length),
        )
      }
      await counter.last
      await Promise.all(queues.map((queue) => boss.offWork(queue, { wait: true })))
      return counter.elapsed()
    },
    close: () => boss.stop({ graceful: false }),
  }
}
