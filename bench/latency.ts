/**
 * From the call that stores a job or an event on an idle system to the start of its handler in another process: single
 * ones, ten milliseconds apart. The time of an event begins when its publishing has been acknowledged, that is at commit.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { postgres } from '../src/components/postgres/index.ts'
import { event, events } from '../src/events/index.ts'
import { job, jobs } from '../src/jobs/index.ts'
import { connectComponent } from '../src/testing/connect-component.ts'
import { ratio, type Benchmark, type Row } from './harness/benchmark.ts'
import { freshDatabase, testServer } from './harness/database.ts'
import { peer } from './harness/peers.ts'
import { percentile } from './harness/rounds.ts'
import { openBoss } from './queues/pg-boss.ts'

const READER = join(import.meta.dirname, 'programs/latency-reader.ts')
const APART_MS = 10
const WARM_UP = 50
/** For the last one to be heard of. */
const LAST_MS = 20_000

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
      const waits = await measure(kind, own.dsn, send, count)
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

/** Milliseconds of each, sorted. */
async function measure(kind: string, dsn: string, send: Send, count: number): Promise<readonly number[]> {
  const child = fork(READER, [kind, dsn], {
    execArgv: ['--conditions=sluice-source'],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  try {
    await once(child, 'message', { signal: AbortSignal.timeout(30_000) })
    const heardAt = new Map<number, number>()
    const all = Promise.withResolvers<void>()
    child.on('message', ({ id, at }: { readonly id: number; readonly at: number }) => {
      heardAt.set(id, at)
      if (heardAt.size === count + WARM_UP) all.resolve()
    })
    child.once('exit', () => all.reject(new Error(`the reader of ${kind} ended`)))
    const sentAt = new Map<number, number>()
    const now = (): number => performance.timeOrigin + performance.now()
    for (let id = 0; id < count + WARM_UP; id += 1) {
      await sleep(APART_MS)
      if (kind !== 'events') sentAt.set(id, now())
      await send(id)
      // The handler may have begun before the acknowledgement came here: then the time is below zero, and counts as 0.
      if (kind === 'events') sentAt.set(id, now())
    }
    const limit = setTimeout(() => {
      all.reject(
        new Error(`${kind}: ${heardAt.size} of ${count + WARM_UP} were heard of after ${LAST_MS} ms`),
      )
    }, LAST_MS)
    await all.promise.finally(() => clearTimeout(limit))
    const waits = [...heardAt].filter(([id]) => id >= WARM_UP)
    return waits.map(([id, at]) => Math.max(0, at - (sentAt.get(id) ?? 0))).sort((a, b) => a - b)
  } finally {
    child.removeAllListeners('exit')
    child.kill()
  }
}
