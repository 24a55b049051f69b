/** sluice: at its defaults, and with more jobs at once. */
import { z } from 'zod'
import { postgres } from '../../src/components/postgres/index.ts'
import { job, jobs } from '../../src/jobs/index.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { batches, Counter, payload, type Contender } from './queue.ts'

export function sluice(name: string, settings: { readonly concurrency?: number } = {}): Contender {
  const noop = job('noop', z.object({ id: z.number(), to: z.string() }), settings)
  return {
    name,
    async open({ dsn }) {
      const db = await connectComponent(postgres({ dsn }), { name: 'db' })
      const queue = await connectComponent(jobs(), { required: { postgres: db.api } })
      return {
        async fill(count, batch) {
          for (const items of batches(count, batch)) {
            await queue.api.enqueueMany(
              noop,
              items.map((data) => ({ data })),
            )
          }
        },
        async enqueue() {
          await queue.api.enqueue(noop, payload(0))
        },
        async drain(count) {
          const counter = new Counter(count)
          const worker = queue.api.handle(noop, counter.handler)
          await counter.last
          // Resolves when what was done is stored.
          await worker.stop()
          return counter.elapsed()
        },
        async close() {
          await queue.close()
          await db.close()
        },
      }
    },
  }
}
