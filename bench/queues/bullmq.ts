/** BullMQ on the Redis server, 100 at a time. */
import { peer } from '../harness/peers.ts'
import { batches, Counter, payload, type Contender } from './queue.ts'

interface Queue {
  add(name: string, data: unknown, options: unknown): Promise<unknown>
  addBulk(jobs: readonly unknown[]): Promise<unknown>
  obliterate(options: { readonly force: boolean }): Promise<void>
  close(): Promise<void>
}
interface Worker {
  on(event: 'completed' | 'error', handler: () => void): void
  close(): Promise<void>
}
interface Bull {
  Queue: new (name: string, options: unknown) => Queue
  Worker: new (name: string, handler: () => Promise<void>, options: unknown) => Worker
}

const NAME = 'sluice-bench'
const DONE = { removeOnComplete: true, removeOnFail: true }

export const bullmq: Contender = {
  name: 'BullMQ on Redis',
  async open({ redisUrl }) {
    const { Queue, Worker } = await peer<Bull>('bullmq')
    const { hostname, port } = new URL(redisUrl)
    const connection = { host: hostname, port: Number(port), maxRetriesPerRequest: null }
    const queue = new Queue(NAME, { connection })
    return {
      async fill(count, batch) {
        for (const items of batches(count, batch)) {
          await queue.addBulk(items.map((data) => ({ name: 'noop', data, opts: DONE })))
        }
      },
      async enqueue() {
        await queue.add('noop', payload(0), DONE)
      },
      async drain(count) {
        const counter = new Counter(count)
        const done = Promise.withResolvers<void>()
        let completed = 0
        const worker = new Worker(NAME, async () => counter.handler(), { connection, concurrency: 100 })
        worker.on('completed', () => {
          completed += 1
          if (completed === count) done.resolve()
        })
        await done.promise
        const elapsed = counter.elapsed()
        await worker.close()
        return elapsed
      },
      async close() {
        await queue.obliterate({ force: true })
        await queue.close()
      },
    }
  },
}
