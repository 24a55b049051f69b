/** Says what became of a task that did not answer: the thread's memory, its end, or what cannot be sent. */
import { ERROR_CODES, SluiceError, type ErrorCode } from '../../core/errors.ts'
import type { TaskReply } from './message.ts'

export type ThreadFailure = 'memory' | 'crash' | 'data'

export interface ClassifiedFailure {
  readonly kind: ThreadFailure
  readonly error: SluiceError
}

/** `thrown` is what the pool rejected with: never the task's own failure, which comes as a reply. */
export function classify(thrown: unknown, task: string, memoryLimitBytes: number): ClassifiedFailure {
  const cause = thrown instanceof Error ? thrown : undefined
  const code = cause !== undefined && 'code' in cause ? cause.code : undefined
  if (code === 'ERR_WORKER_OUT_OF_MEMORY') {
    return { kind: 'memory', error: outOfMemory(task, memoryLimitBytes, thrown) }
  }
  // Thrown in the thread it comes as an error without name and message; its stack still tells what it was.
  const isNotCloneable =
    cause?.name === 'DataCloneError' || cause?.stack?.startsWith('DataCloneError') === true
  if (isNotCloneable) {
    const why = cause.message || /^DataCloneError: (.*)$/m.exec(cause.stack ?? '')?.[1]
    return { kind: 'data', error: notSendable(task, why, thrown) }
  }
  const exit = /^worker exited with code: (-?\d+)$/.exec(cause?.message ?? '')
  const how =
    exit === null
      ? `by an error that nothing caught: ${cause?.message ?? String(thrown)}`
      : `by itself with exit code ${exit[1]}`
  return {
    kind: 'crash',
    error: new SluiceError('SLUICE_THREAD_CRASHED', `the thread that ran ${task} was ended ${how}`, {
      cause: thrown,
      ...(exit === null ? {} : { details: { exitCode: Number(exit[1]) } }),
    }),
  }
}

export function notSendable(task: string, why: string | undefined, cause: unknown): SluiceError {
  return new SluiceError(
    'SLUICE_INVALID_ARGUMENT',
    `${task}: its data or its result cannot be sent between threads: ${why}`,
    { cause, hint: 'Send plain data: no functions, no class instances with private fields.' },
  )
}

export function outOfMemory(task: string, memoryLimitBytes: number, cause: unknown): SluiceError {
  const megabytes = Math.round(memoryLimitBytes / 1_048_576)
  return new SluiceError('SLUICE_THREAD_MEMORY', `${task} used up its ${megabytes} MB of memory`, {
    cause,
    hint: 'Give it less data at once, or raise threads.memoryLimit.',
    details: { memoryLimitBytes },
  })
}

/** The task's own failure as it was thrown, with the name and code that cloning took away. */
export function revive(reply: Extract<TaskReply, { ok: false }>): unknown {
  const { error, name, code } = reply
  if (!(error instanceof Error)) return error
  if (name === 'SluiceError' && code !== undefined && Object.hasOwn(ERROR_CODES, code)) {
    return new SluiceError(code as ErrorCode, error.message, { cause: error.cause })
  }
  for (const [key, value] of Object.entries({ name, code })) {
    if (value !== undefined) Object.defineProperty(error, key, { value, configurable: true, writable: true })
  }
  return error
}
