/** graphile-worker, at the settings that its own documentation names as the fastest. */
import pg from 'pg'
import { peer } from '../harness/peers.ts'
import { batches, Counter, payload, type Contender } from './queue.ts'

interface Runner {
  stop(): Promise<void>
}
interface Utils {
  migrate(): Promise<void>
  addJob(task: string, data: unknown): Promise<unknown>
  addJobs(specs: readonly unknown[]): Promise<unknown>
  release(): Promise<void>
}
interface Graphile {
  readonly run: (options: Record<string, unknown>) => Promise<Runner>
  readonly makeWorkerUtils: (options: Record<string, unknown>) => Promise<Utils>
  Logger: new (factory: () => () => void) => unknown
}

export const graphile: Contender = {
  name: 'graphile-worker',
  async open({ dsn }) {
    const { run, makeWorkerUtils, Logger } = await peer<Graphile>('graphile-worker')
    const logger = new Logger(() => () => {})
    // Ours, so that it is closed before its database is dropped.
    const pgPool = new pg.Pool({ connectionString: dsn, max: 20 })
    pgPool.on('error', () => {})
    pgPool.on('connect', (client) => void client.on('error', () => {}))
    const utils = await makeWorkerUtils({ pgPool, logger })
    await utils.migrate()
    return {
      async fill(count, batch) {
        for (const items of batches(count, batch)) {
          await utils.addJobs(items.map((item) => ({ identifier: 'noop', payload: item })))
        }
      },
      async enqueue() {
        await utils.addJob('noop', payload(0))
      },
      async drain(count) {
        const counter = new Counter(count)
        const runner = await run({
          pgPool,
          logger,
          noHandleSignals: true,
          concurrency: 50,
          preset: {
            worker: { localQueue: { size: 2_000 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 },
          },
          taskList: { noop: counter.handler },
        })
        await counter.last
        // Resolves when what was done is stored.
        await runner.stop()
        return counter.elapsed()
      },
      async close() {
        await utils.release()
        await pgPool.end()
      },
    }
  },
}
