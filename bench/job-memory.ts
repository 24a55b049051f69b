/**
 * Resident memory of a process that runs job after job: ten samples, each after garbage collection, over a million jobs
 * that do nothing. It is flat when the last samples are no higher than those after the first tenth.
 */
import { ratio, type Benchmark, type Row } from './harness/benchmark.ts'
import { freshDatabase, testServer } from './harness/database.ts'
import { collectGarbage } from './harness/rounds.ts'
import { sluice } from './queues/sluice.ts'

const SAMPLES = 10
const BATCH = 20_000

export const benchmark: Benchmark = {
  doc: 'resident memory of a process over a million jobs that do nothing',
  peers: [],
  async run({ quick, note }) {
    const jobs = quick ? 50_000 : 1_000_000
    await using server = await testServer()
    await using own = await freshDatabase(server, 'sluice_bench_job_memory')
    const queue = await sluice('sluice', { concurrency: 200 }).open({ dsn: own.dsn, redisUrl: '' })
    const rows: Row[] = []
    try {
      for (let sample = 1; sample <= SAMPLES; sample += 1) {
        // In parts, so that the table stays small and the time goes into running.
        for (let left = jobs / SAMPLES; left > 0; left -= BATCH) {
          const part = Math.min(left, BATCH)
          await queue.fill(part, part)
          await queue.drain(part)
        }
        collectGarbage()
        const { rss, heapUsed } = process.memoryUsage()
        const done = Math.round((jobs / SAMPLES) * sample)
        note(`${done} jobs: ${megabytes(rss)} MB resident`)
        rows.push({ subject: `resident after ${done} jobs`, value: megabytes(rss), unit: 'MB' })
        rows.push({ subject: `heap after ${done} jobs`, value: megabytes(heapUsed), unit: 'MB' })
      }
    } finally {
      await queue.close()
    }
    const at = (kind: string, sample: number): string => `${kind} after ${(jobs / SAMPLES) * sample} jobs`
    return {
      settings: { jobs, batch: BATCH, server: server.version },
      rows,
      ratios: {
        resident_last_vs_second: ratio(rows, at('resident', SAMPLES), at('resident', 2)),
        heap_last_vs_second: ratio(rows, at('heap', SAMPLES), at('heap', 2)),
      },
    }
  },
}

function megabytes(bytes: number): number {
  return Number((bytes / 1_048_576).toFixed(1))
}
