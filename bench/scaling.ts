/**
 * One queue that 1, 2 and 4 processes work off: jobs that do nothing, and jobs that wait for ten milliseconds, as
 * for a server, twenty at once in each process. Beside the rates it says how busy the processors were: what limits the one
 * is them, what limits the other is the slots.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism, cpus } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { postgres, type Postgres } from '../src/components/postgres/index.ts'
import { job, jobs, type Jobs } from '../src/jobs/index.ts'
import { connectComponent } from '../src/testing/connect-component.ts'
import { ratio, type Benchmark, type Row } from './harness/benchmark.ts'
import { freshDatabase, testServer } from './harness/database.ts'
import { median } from './harness/rounds.ts'
import { batches } from './queues/queue.ts'

const WORKER = join(import.meta.dirname, 'programs/scaling-worker.ts')
const FILL_BATCH = 5_000
const PROCESSES = [1, 2, 4] as const
const LIMIT_MS = 120_000
const work = job('work', z.object({ id: z.number(), to: z.string() }))

interface Measure {
  readonly rate: number
  /** Of all processors, meanwhile, 0 to 100. */
  readonly busy: number
}

export const benchmark: Benchmark = {
  doc: 'jobs a second of 1, 2 and 4 processes on one queue, and what limits them',
  peers: [],
  async run({ quick, note }) {
    const rounds = quick ? 1 : 3
    await using server = await testServer()
    await using own = await freshDatabase(server, 'sluice_bench_scaling')
    await using db = await connectComponent(postgres({ dsn: own.dsn }), { name: 'db' })
    await using queue = await connectComponent(jobs(), { required: { postgres: db.api } })
    const rows: Row[] = []
    for (const [kind, ms, count] of [
      ['nothing', 0, quick ? 40_000 : 200_000],
      ['waits 10 ms', 10, quick ? 6_000 : 30_000],
    ] as const) {
      for (const processes of PROCESSES) {
        note(`${kind}, ${processes} processes`)
        const measured: Measure[] = []
        for (let round = 0; round < rounds; round += 1) {
          measured.push(await measure(own.dsn, db.api, queue.api, { processes, ms, count }))
        }
        rows.push(
          { subject: subjectOf(kind, processes), value: rateOf(measured), unit: 'jobs/s' },
          {
            subject: `${subjectOf(kind, processes)}, processors busy`,
            value: Math.round(median(measured.map(({ busy }) => busy))),
            unit: '%',
          },
        )
      }
    }
    const of = (kind: string, processes: number): number =>
      ratio(rows, subjectOf(kind, processes), subjectOf(kind, 1))
    return {
      settings: {
        rounds,
        processors: availableParallelism(),
        limit_nothing: limitOf(rows, 'nothing'),
        limit_waits: limitOf(rows, 'waits 10 ms'),
        server: server.version,
      },
      rows,
      ratios: {
        nothing_2_vs_1: of('nothing', 2),
        nothing_4_vs_1: of('nothing', 4),
        waits_2_vs_1: of('waits 10 ms', 2),
        waits_4_vs_1: of('waits 10 ms', 4),
      },
    }
  },
}

function subjectOf(kind: string, processes: number): string {
  return `${kind}, ${processes} ${processes === 1 ? 'process' : 'processes'}`
}

/** With the processors busy at four processes it is them. */
function limitOf(rows: readonly Row[], kind: string): string {
  const busy = rows.find(({ subject }) => subject === `${subjectOf(kind, 4)}, processors busy`)?.value ?? 0
  return busy >= 90 ? 'processors' : 'slots of the handlers'
}

function rateOf(measured: readonly Measure[]): number {
  return Math.round(median(measured.map(({ rate }) => rate)))
}

/** Processes that are connected begin together; the time ends when all jobs are done. */
async function measure(
  dsn: string,
  db: Postgres,
  api: Jobs,
  { processes, ms, count }: { readonly processes: number; readonly ms: number; readonly count: number },
): Promise<Measure> {
  // Ends of the round before that were on their way when its processes were ended.
  await db.execute('delete from sluice.task')
  for (const items of batches(count, FILL_BATCH)) {
    await api.enqueueMany(
      work,
      items.map((data) => ({ data })),
    )
  }
  const children = Array.from({ length: processes }, () =>
    fork(WORKER, [dsn, String(ms)], {
      execArgv: ['--conditions=sluice-source'],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    }),
  )
  try {
    const limit = { signal: AbortSignal.timeout(LIMIT_MS) }
    await Promise.all(children.map((child) => once(child, 'message', limit)))
    const finished = allDone(children, count, limit.signal)
    const before = processorTimes()
    const startedAt = performance.now()
    for (const child of children) child.send('begin')
    await finished
    const elapsed = performance.now() - startedAt
    const after = processorTimes()
    const busy = ((after.busy - before.busy) / (after.all - before.all)) * 100
    return { rate: (count / elapsed) * 1_000, busy }
  } finally {
    await Promise.all(
      children.map(async (child) => {
        if (child.exitCode !== null) return
        const gone = once(child, 'exit')
        child.kill()
        await gone
      }),
    )
  }
}

function allDone(children: readonly ChildProcess[], count: number, signal: AbortSignal): Promise<void> {
  const done = new Map<ChildProcess, number>()
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
    for (const child of children) {
      child.on('message', ({ done: its }: { readonly done: number }) => {
        done.set(child, its)
        let sum = 0
        for (const each of done.values()) sum += each
        if (sum >= count) resolve()
      })
      child.once('exit', () => reject(new Error('a worker ended')))
    }
  })
}

function processorTimes(): { readonly busy: number; readonly all: number } {
  let busy = 0
  let all = 0
  for (const { times } of cpus()) {
    const sum = times.user + times.nice + times.sys + times.irq + times.idle
    all += sum
    busy += sum - times.idle
  }
  return { busy, all }
}
