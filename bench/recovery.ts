/**
 * What a process leaves behind: it runs twenty jobs that do not end, and is killed, frozen or stopped. How long until the
 * jobs begin again in a process that has slots for all of them, so that nothing but the noticing is measured. A stopped
 * one gives them back; there the time begins when its handlers are told to end.
 *
 * Three at a time meet the same fate, each with a database of its own, so that none waits for another one's slots.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { z } from 'zod'
import { postgres } from '../src/components/postgres/index.ts'
import { job, jobs } from '../src/jobs/index.ts'
import { connectComponent } from '../src/testing/connect-component.ts'
import type { Benchmark, Row } from './harness/benchmark.ts'
import { freshDatabase, testServer } from './harness/database.ts'
import { percentile } from './harness/rounds.ts'

const VICTIM = join(import.meta.dirname, 'programs/recovery-victim.ts')
const JOBS = 20
const AT_ONCE = 3
const LIMIT_MS = 60_000
const held = job('held', z.object({ id: z.number() }), { concurrency: JOBS, timeout: '5m' })

type Fate = 'killed' | 'frozen' | 'stopped'

export const benchmark: Benchmark = {
  doc: 'how long until the jobs of a process that is killed, frozen or stopped begin again elsewhere',
  peers: [],
  async run({ quick, note }) {
    const rounds: Record<Fate, number> = quick
      ? { killed: 2, frozen: 1, stopped: 2 }
      : { killed: 20, frozen: 7, stopped: 20 }
    const rows: Row[] = []
    await using server = await testServer()
    for (const fate of ['killed', 'frozen', 'stopped'] as const) {
      const waits: number[] = []
      for (let round = 1; round <= rounds[fate]; round += 1) {
        note(`${fate}, round ${round} of ${rounds[fate]}`)
        await using stack = new AsyncDisposableStack()
        const dsns: string[] = []
        for (let n = 0; n < AT_ONCE; n += 1) {
          dsns.push(stack.use(await freshDatabase(server, `sluice_bench_recovery_${n}`)).dsn)
        }
        const all = await Promise.allSettled(dsns.map((dsn) => recover(dsn, fate)))
        for (const one of all) {
          if (one.status === 'rejected') throw one.reason
          waits.push(...one.value)
        }
      }
      waits.sort((a, b) => a - b)
      for (const [label, part] of [
        ['p50', 0.5],
        ['p99', 0.99],
        ['longest', 1],
      ] as const) {
        const value = percentile(waits, part)
        rows.push({ subject: `${fate}, ${label}`, value: Math.round(value), unit: 'ms' })
      }
    }
    const of = (name: string): number => rows.find((row) => row.subject === name)?.value ?? Number.NaN
    return {
      settings: { ...rounds, at_once: AT_ONCE, jobs: JOBS, server: server.version },
      rows,
      ratios: {
        killed_p99_ms: of('killed, p99'),
        frozen_p99_ms: of('frozen, p99'),
        stopped_p99_ms: of('stopped, p99'),
      },
    }
  },
}

/** Milliseconds until each began again. */
async function recover(dsn: string, fate: Fate): Promise<readonly number[]> {
  await using db = await connectComponent(postgres({ dsn }), { name: 'db' })
  await using queue = await connectComponent(jobs(), { required: { postgres: db.api } })
  const victim = fork(VICTIM, [dsn, String(JOBS)], {
    execArgv: ['--conditions=sluice-source'],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  try {
    await message(victim)
    await queue.api.enqueueMany(
      held,
      Array.from({ length: JOBS }, (_, id) => ({ data: { id } })),
    )
    await message(victim)
    const waits: number[] = []
    const all = Promise.withResolvers<void>()
    const limit = setTimeout(() => {
      all.reject(new Error(`${fate}: ${waits.length} of ${JOBS} had begun again after ${LIMIT_MS} ms`))
    }, LIMIT_MS)
    let from = Number.NaN
    const worker = queue.api.handle(held, () => {
      waits.push(performance.now() - from)
      if (waits.length === JOBS) all.resolve()
    })
    from = performance.now()
    if (fate === 'stopped') {
      victim.send('stop')
      // Its handlers have been told to end.
      await message(victim)
      from = performance.now()
    } else {
      victim.kill(fate === 'killed' ? 'SIGKILL' : 'SIGSTOP')
    }
    await all.promise.finally(() => clearTimeout(limit))
    await worker.stop()
    return waits
  } finally {
    victim.kill('SIGKILL')
    if (victim.exitCode === null && victim.signalCode === null) await once(victim, 'exit')
  }
}

async function message(child: ChildProcess): Promise<void> {
  await once(child, 'message', { signal: AbortSignal.timeout(LIMIT_MS) })
}
