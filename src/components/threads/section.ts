/** The configuration of the thread pool. */
import { availableParallelism } from 'node:os'
import { duration, integer, size } from '../../config/fields.ts'
import { defineSection, type SectionValues } from '../../config/section.ts'

export const threadsSection = defineSection({
  name: 'threads',
  fields: {
    maxThreads: integer({
      env: 'THREADS_MAX_THREADS',
      default: availableParallelism(),
      defaultText: 'the number of processors',
      min: 1,
      max: 256,
      doc: 'Threads at most; by default as many as there are processors',
    }),
    minThreads: integer({
      env: 'THREADS_MIN_THREADS',
      default: 1,
      min: 1,
      max: 256,
      doc: 'Threads that stay when there is nothing to do',
    }),
    maxWaiting: integer({
      env: 'THREADS_MAX_WAITING',
      default: 1_000,
      min: 0,
      max: 1_000_000,
      doc: 'Tasks that may wait for a thread; more are refused with SLUICE_POOL_FULL',
    }),
    tasksPerThread: integer({
      env: 'THREADS_TASKS_PER_THREAD',
      default: 1,
      min: 1,
      max: 1_000,
      doc: 'Tasks that a thread is handed at once; more than one is for tiny tasks only',
    }),
    taskTimeout: duration({
      env: 'THREADS_TASK_TIMEOUT',
      unit: 's',
      default: '30s',
      min: '1ms',
      doc: 'Limit of a task, waiting included; its thread is then ended and replaced',
    }),
    idleTimeout: duration({
      env: 'THREADS_IDLE_TIMEOUT',
      unit: 's',
      default: '30s',
      doc: 'A thread beyond the minimum that was idle for this long ends',
    }),
    memoryLimit: size({
      env: 'THREADS_MEMORY_LIMIT',
      default: '512mb',
      min: '16mb',
      doc: 'JavaScript heap of each thread; buffers do not count',
    }),
  },
  check: (values) =>
    values.minThreads > values.maxThreads
      ? [{ field: 'minThreads', expected: `at most maxThreads, which is ${values.maxThreads}` }]
      : [],
})

export type ThreadsConfig = SectionValues<typeof threadsSection.fields>
