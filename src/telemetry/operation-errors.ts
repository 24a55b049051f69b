/** The errors that calls of operations end with, besides those of their bodies; each says which call it was and where. */
import { isSluiceError, SluiceError } from '../core/errors.ts'
import type { Slots } from '../pool/slots.ts'
import type { OperationSpec } from './operate.ts'

/** Where a call is, see operation-call.ts. */
export type Phase = 'waiting' | 'running' | 'backing-off' | 'abandoned' | 'done'

/** What is asked of a call to name it. */
interface NamedCall {
  /** `cache: get`. */
  readonly name: string
  readonly spec: OperationSpec
  /** 0 while nothing was sent. */
  readonly attempt: number
}

/** `lastError` is that of the attempt before, if any: `"cache: get" timed out after 5000 ms while it waited for the answer`. */
export function timeoutOf(
  call: NamedCall,
  component: string,
  timeoutMs: number,
  phase: Phase,
  lastError: unknown,
): SluiceError {
  const { name, spec, attempt } = call
  return new SluiceError(
    'SLUICE_TIMEOUT',
    `"${name}" timed out after ${timeoutMs} ms ${PHASE_WORDS[phase]}`,
    {
      component,
      operation: spec.name,
      // In the queue nothing was sent; otherwise only what may be repeated is safe to repeat.
      retryable: spec.idempotent || attempt === 0,
      details: { timeoutMs, phase, attempt },
      cause: lastError,
    },
  )
}

const PHASE_WORDS = {
  waiting: 'while it waited for a slot',
  running: 'while it waited for the answer',
  'backing-off': 'while it waited to be sent again',
  abandoned: '',
  done: '',
} as const satisfies Record<Phase, string>

/** `raise`: the setting that would let more in, where there is one. */
export function queueFull(
  call: NamedCall,
  component: string,
  slots: Slots,
  raise: string | undefined,
): SluiceError {
  const { taken, waiting } = slots
  return new SluiceError(
    'SLUICE_POOL_FULL',
    `"${call.name}" was refused: ${taken} operations run and ${waiting} wait already`,
    {
      component,
      operation: call.spec.name,
      retryable: true,
      hint: `Slow down${raise === undefined ? '' : `, or raise ${raise}`}.`,
    },
  )
}

/** Adds component and operation to an error of sluice, once; foreign errors pass through as they are. */
export function wrapOnce(error: unknown, component: string, spec: OperationSpec): unknown {
  if (!isSluiceError(error) || error.component !== undefined) return error
  return new SluiceError(error.code, `"${component}: ${spec.name}" failed: ${error.message}`, {
    cause: error,
    retryable: error.retryable,
    component,
    operation: spec.name,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(error.details === undefined ? {} : { details: error.details }),
  })
}
