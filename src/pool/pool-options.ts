/** Options of a worker pool, and what is said about bad ones. */
import { systemClock, type Clock } from '../core/clock.ts'
import type { Duration } from '../core/duration.ts'
import { durationMs, parseDuration } from '../core/duration.ts'
import { invalidArgument, SluiceError } from '../core/errors.ts'
import { PRIORITIES } from './task-queue.ts'

export const OVERFLOW_POLICIES = ['wait', 'reject', 'drop-oldest', 'drop-newest', 'conflate'] as const
/** What happens to a task that finds the queue full; see the head of worker-pool.ts. */
export type OverflowPolicy = (typeof OVERFLOW_POLICIES)[number]

export interface WorkerPoolOptions {
  /** For errors, metrics and logs. */
  readonly name: string
  /** Functions that run at once; at least 1. `resize` changes it. */
  readonly workers: number
  /** Tasks that may wait for a slot; 0 for none. */
  readonly maxWaiting: number
  /** What happens to a task that finds the queue full. @default 'reject' */
  readonly overflow?: OverflowPolicy
  /** Submits held at the door of a full queue, with `overflow: 'wait'`; also callers of `room()`. @default 10000 */
  readonly maxBlocked?: number
  /** How long a function may ignore its aborted signal before its slot is used for others. @default '5s' */
  readonly abandonAfter?: Duration
  /** @default the system's */
  readonly clock?: Clock
  /** Receives failures of posted tasks. What it throws is ignored. @default a process warning */
  readonly onError?: (error: Error, pool: string) => void
}

/** Options of one task. */
export interface TaskOptions {
  /** For errors and logs. @default 'submit' */
  readonly name?: string | undefined
  /** Aborts the task, waiting or running; its result rejects with the signal's own reason. */
  readonly signal?: AbortSignal | undefined
  /** Limit from submit to result, waiting included. The result rejects with SLUICE_TIMEOUT. @default none */
  readonly timeout?: Duration | undefined
  /** 0 (first) to 9. @default 5 */
  readonly priority?: number | undefined
  /** With `overflow: 'conflate'`: replaces a waiting task of the same key. */
  readonly key?: string | undefined
}

export interface CheckedOptions {
  readonly name: string
  readonly workers: number
  readonly maxWaiting: number
  readonly overflow: OverflowPolicy
  readonly maxBlocked: number
  readonly abandonAfterMs: number
  readonly clock: Clock
  readonly onError: ((error: Error, pool: string) => void) | undefined
}

/** The options with their defaults; throws SLUICE_INVALID_ARGUMENT. */
export function checkOptions(options: WorkerPoolOptions): CheckedOptions {
  const { name, overflow = 'reject', maxBlocked = 10_000, abandonAfter = '5s', clock = systemClock } = options
  if (typeof name !== 'string' || name === '') throw invalidArgument('WorkerPool: name', 'a name', name)
  if (!OVERFLOW_POLICIES.includes(overflow)) {
    throw invalidArgument(`${name}: overflow`, OVERFLOW_POLICIES.join(', '), overflow)
  }
  return {
    name,
    workers: checkWorkers(name, options.workers),
    maxWaiting: whole(`${name}: maxWaiting`, options.maxWaiting),
    overflow,
    maxBlocked: whole(`${name}: maxBlocked`, maxBlocked),
    abandonAfterMs: durationMs(abandonAfter, `${name}: abandonAfter`),
    clock,
    onError: options.onError,
  }
}

export function checkWorkers(name: string, workers: number): number {
  if (Number.isSafeInteger(workers) && workers >= 1) return workers
  throw invalidArgument(`${name}: workers`, 'a whole number of at least 1', workers)
}

/** What is wrong with a task's options, or undefined. */
export function faultOfTask(
  name: string,
  fn: unknown,
  options: TaskOptions | undefined,
): SluiceError | undefined {
  if (typeof fn !== 'function') return invalidArgument(`${name}: task`, 'a function', typeof fn)
  if (options === undefined) return undefined
  const { priority, timeout } = options
  if (timeout !== undefined && parseDuration(timeout) === undefined) {
    return invalidArgument(`${name}: timeout`, `milliseconds or a duration such as '5s'`, timeout)
  }
  if (priority === undefined) return undefined
  if (Number.isInteger(priority) && priority >= 0 && priority < PRIORITIES) return undefined
  return invalidArgument(`${name}: priority`, `a whole number from 0 to ${PRIORITIES - 1}`, priority)
}

export function fullError(task: string, running: number, waiting: number): SluiceError {
  return new SluiceError(
    'SLUICE_POOL_FULL',
    `"${task}" was refused: ${running} tasks run and ${waiting} wait already`,
    { retryable: true, details: { running, waiting }, hint: 'Slow down, or raise workers or maxWaiting.' },
  )
}

/** Why a task was not taken. */
export type Refusal = 'closed' | 'dropped' | 'full'

/** The error of a refused submit. Apart from the refusal, because `post` needs none, and a stack trace costs more than it. */
export function refusalError(
  pool: { readonly name: string; readonly running: number; readonly queue: { readonly length: number } },
  task: string,
  refusal: Refusal,
): SluiceError {
  switch (refusal) {
    case 'closed':
      return closedError(pool.name)
    case 'dropped':
      return droppedError(task, 'the queue is full')
    case 'full':
      return fullError(task, pool.running, pool.queue.length)
  }
}

export function closedError(pool: string, what = 'it takes no more tasks'): SluiceError {
  return new SluiceError('SLUICE_POOL_CLOSED', `"${pool}" was closed: ${what}`)
}

export function droppedError(task: string, why: string): SluiceError {
  return new SluiceError('SLUICE_DROPPED', `"${task}" was dropped: ${why}`)
}

export function timeoutError(task: string, timeoutMs: number, waiting: boolean): SluiceError {
  const where = waiting ? 'while it waited for a slot' : 'while it ran'
  return new SluiceError('SLUICE_TIMEOUT', `"${task}" timed out after ${timeoutMs} ms ${where}`, {
    // A task that never ran may be submitted again.
    retryable: waiting,
    details: { timeoutMs, phase: waiting ? 'waiting' : 'running' },
  })
}

export function closeTimeoutError(pool: string, timeoutMs: number, running: number): SluiceError {
  return new SluiceError(
    'SLUICE_TIMEOUT',
    `"${pool}: close" timed out after ${timeoutMs} ms with ${running} tasks running`,
    {
      details: { timeoutMs, running },
      hint: 'Let the functions stop when the signal that they are handed aborts.',
    },
  )
}

function whole(option: string, value: number): number {
  if (Number.isSafeInteger(value) && value >= 0) return value
  throw invalidArgument(option, 'a whole number of at least 0', value)
}
