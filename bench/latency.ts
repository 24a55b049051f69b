/**
 * From the call that stores a job or an event on an idle system to the start of its handler in another process: single
 * ones, ten milliseconds apart. The time of an event begins when its publishing has been acknowledged, that is at commit.
 */
import { join } from 'node:path'
import { z } from 'zod'
import { postgres } from '../src/components/postgres/index.ts'
import { event, events } from '../src/events/index.ts'
import { job, jobs } from '../src/jobs/index.ts'
import { connectComponent } from '../src/testing/connect-component.ts'
import { ratio, type Benchmark, type Row } from './harness/benchmark.ts'
import { freshDatabase, testServer } from './harness/database.ts'
import { peer } from './harness/peers.ts'
import { percentile } from './harness/rounds.ts'
import { APART_MS, waitsOf } from './harness/waits.ts'
import { openBoss } from './queues/pg-boss.ts'

const READER = join(import.meta.dirname, 'programs/latency-reader.ts')

interface Utils {
  migrate(): Promise<void>
  addJob(task: string, data: unknown): Promise<unknown>
  release(): Promise<void>
}
type Send = (id: number) => PromiseLike<unknown>

export const benchmark: Benchmark = {
  doc: 'enqueue to handler, and commit to subscription, in another process on an idle system',
  peers: ['graphile-worker', 'pg-boss'],
  async run({ quick, note }) {
    const count = quick ? 200 : 1_000
    const rows: Row[] = []
    await using server = await testServer()
    for (const [kind, name] of [
      ['jobs', 'sluice, enqueue to handler'],
      ['events', 'sluice, commit to subscription'],
      ['graphile', 'graphile-worker, enqueue to handler'],
      ['pgboss', 'pg-boss, enqueue to handler'],
    ] as const) {
      note(name)
      await using own = await freshDatabase(server, `sluice_bench_latency_${kind}`)
      await using stack = new AsyncDisposableStack()
      const send = await sender(kind, own.dsn, stack)
      const waits = await waitsOf({
        program: READER,
        args: [kind, own.dsn],
        count,
        send,
        since: kind === 'events' ? 'acknowledged' : 'call',
      })
      for (const [label, part] of [
        ['p50', 0.5],
        ['p99', 0.99],
      ] as const) {
        const value = percentile(waits, part)
        rows.push({ subject: `${name}, ${label}`, value: Number(value.toPrecision(3)), unit: 'ms' })
      }
    }
    const of = (name: string): number => rows.find((row) => row.subject === name)?.value ?? Number.NaN
    return {
      settings: { count, apart_ms: APART_MS, server: server.version },
      rows,
      ratios: {
        job_latency_p50_ms: of('sluice, enqueue to handler, p50'),
        job_latency_p99_ms: of('sluice, enqueue to handler, p99'),
        event_latency_p50_ms: of('sluice, commit to subscription, p50'),
        job_latency_vs_graphile_worker: ratio(
          rows,
          'sluice, enqueue to handler, p50',
          'graphile-worker, enqueue to handler, p50',
        ),
        job_latency_vs_pg_boss: ratio(
          rows,
          'sluice, enqueue to handler, p50',
          'pg-boss, enqueue to handler, p50',
        ),
      },
    }
  },
}

async function sender(kind: string, dsn: string, stack: AsyncDisposableStack): Promise<Send> {
  if (kind === 'graphile') {
    const { makeWorkerUtils } = await peer<{ makeWorkerUtils: (options: unknown) => Promise<Utils> }>(
      'graphile-worker',
    )
    const utils = await makeWorkerUtils({ connectionString: dsn })
    stack.defer(() => utils.release())
    await utils.migrate()
    return (id) => utils.addJob('ping', { id })
  }
  if (kind === 'pgboss') {
    const boss = await openBoss(dsn)
    stack.defer(() => boss.stop({ graceful: false }))
    await boss.createQueue('ping', { retryLimit: 0 })
    return (id) => boss.send('ping', { id })
  }
  const db = stack.use(await connectComponent(postgres({ dsn }), { name: 'db' }))
  const data = z.object({ id: z.number() })
  const required = { required: { postgres: db.api } }
  if (kind === 'jobs') {
    const { api } = stack.use(await connectComponent(jobs(), required))
    const ping = job('ping', data)
    return (id) => api.enqueue(ping, { id })
  }
  const { api } = stack.use(await connectComponent(events(), required))
  const pinged = event('bench.ping', data)
  return (id) => api.publish(pinged, { id })
}
