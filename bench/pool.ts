/**
 * No-op async tasks through a pool of ten: under Promise.all, in ten await loops, and without a result. Each subject is a
 * process of its own (`programs/pool-subject.ts`), which sleeps while another is measured.
 */
import { ratio, type Benchmark, type RoundOptions, type Row } from './harness/benchmark.ts'
import { subjectProcesses } from './harness/subject-process.ts'

interface Family {
  readonly subjects: Readonly<Record<string, string>>
  readonly rounds: RoundOptions
}

/**
 * One after the other, so that a flood's garbage is gone before the loops begin. Those that a target compares take turns
 * often: a median of many short rounds outlives a bad second of the machine.
 */
const FAMILIES: readonly Family[] = [
  {
    subjects: { 'sluice:all': 'sluice, Promise.all', 'fastq:all': 'fastq.promise, Promise.all' },
    rounds: { rounds: 11, quickRounds: 9, warmUp: 1 },
  },
  {
    subjects: { 'p-limit:all': 'p-limit, Promise.all', 'p-queue:all': 'p-queue, Promise.all' },
    rounds: { rounds: 5, quickRounds: 3, warmUp: 1 },
  },
  {
    subjects: { 'sluice:loop': 'sluice, await loops', 'fastq:loop': 'fastq.promise, await loops' },
    rounds: { rounds: 41, quickRounds: 41, warmUp: 3 },
  },
  {
    subjects: { 'p-limit:loop': 'p-limit, await loops', 'p-queue:loop': 'p-queue, await loops' },
    rounds: { rounds: 5, quickRounds: 3, warmUp: 1 },
  },
  {
    subjects: { 'sluice:post': 'sluice, post', 'fastq:post': 'fastq, callback' },
    rounds: { rounds: 41, quickRounds: 41, warmUp: 3 },
  },
]

export const benchmark: Benchmark = {
  doc: 'a worker pool of ten and a million no-op tasks, beside fastq, p-limit and p-queue',
  peers: ['fastq', 'p-limit', 'p-queue'],
  async run({ quick, rounds, note }) {
    const tasks = quick ? 100_000 : 1_000_000
    const rows: Row[] = []
    for (const family of FAMILIES) {
      note(Object.values(family.subjects).join('; '))
      await using stack = new AsyncDisposableStack()
      const args = [String(tasks)]
      const subjects = await subjectProcesses('pool-subject.ts', args, family.subjects, 'ns/task', stack)
      rows.push(...(await rounds(subjects, family.rounds)))
    }
    return {
      settings: { tasks, workers: 10, loops: 10 },
      rows,
      ratios: {
        pool_all_vs_fastq_promise: ratio(rows, 'sluice, Promise.all', 'fastq.promise, Promise.all'),
        pool_loop_vs_fastq_promise: ratio(rows, 'sluice, await loops', 'fastq.promise, await loops'),
        pool_post_vs_fastq_callback: ratio(rows, 'sluice, post', 'fastq, callback'),
      },
    }
  },
}
