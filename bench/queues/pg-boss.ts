/** pg-boss, with batches of 2,000 that are fetched one after another. */
import { peer } from '../harness/peers.ts'
import { batches, Counter, payload, type Contender } from './queue.ts'

export interface Boss {
  on(event: 'error', handler: (error: Error) => void): void
  start(): Promise<unknown>
  stop(options: Record<string, unknown>): Promise<void>
  createQueue(name: string, options?: Record<string, unknown>): Promise<void>
  insert(name: string, jobs: readonly unknown[]): Promise<unknown>
  send(name: string, data: unknown): Promise<unknown>
  work(
    name: string,
    options: Record<string, unknown>,
    handler: (jobs: readonly unknown[]) => Promise<void>,
  ): Promise<string>
  offWork(name: string, options?: Record<string, unknown>): Promise<void>
}

export async function openBoss(dsn: string): Promise<Boss> {
  const { PgBoss } = await peer<{ PgBoss: new (options: Record<string, unknown>) => Boss }>('pg-boss')
  const boss = new PgBoss({ connectionString: dsn, schedule: false, supervise: false, max: 10 })
  boss.on('error', () => {})
  await boss.start()
  return boss
}

export const pgBoss: Contender = {
  name: 'pg-boss',
  async open({ dsn }) {
    const boss = await openBoss(dsn)
    await boss.createQueue('noop', { retryLimit: 0 })
    return {
      async fill(count, batch) {
        for (const items of batches(count, batch)) {
          await boss.insert(
            'noop',
            items.map((data) => ({ data })),
          )
        }
      },
      async enqueue() {
        await boss.send('noop', payload(0))
      },
      async drain(count) {
        const counter = new Counter(count)
        await boss.work(
          'noop',
          { batchSize: 2_000, pollingIntervalSeconds: 0.5, burstWhenBatchFull: true },
          async (jobs) => counter.batch(jobs.length),
        )
        await counter.last
        // Waits for the batch under way, whose completion is part of it.
        await boss.offWork('noop', { wait: true })
        return counter.elapsed()
      },
      close: () => boss.stop({ graceful: false }),
    }
  },
}
