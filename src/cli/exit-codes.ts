/** Exit codes of the command line: those of an app, and one of its own after sysexits.h. */
import { EXIT as APP_EXIT } from '../app/shutdown.ts'
import { isSluiceError, type ErrorCode } from '../core/errors.ts'

export const EXIT = {
  /** Done, or stopped cleanly. */
  ok: APP_EXIT.clean,
  /** A fatal error, or a component that doctor found wrong. */
  failure: APP_EXIT.fatal,
  /** The command was not understood. */
  usage: 64,
  /** The shutdown took longer than its budget. */
  deadline: APP_EXIT.deadline,
  /** The port or another resource of the system cannot be had. */
  system: APP_EXIT.system,
  /** The configuration is wrong; starting again will not help. */
  config: APP_EXIT.config,
} as const

const BY_CODE: Partial<Readonly<Record<ErrorCode, number>>> = {
  SLUICE_CONFIG: EXIT.config,
  SLUICE_STORE_LOCKED: EXIT.config,
  SLUICE_LISTEN: EXIT.system,
}

/** The code that a process ends with because of `error`. */
export function exitCodeOf(error: unknown): number {
  return isSluiceError(error) ? (BY_CODE[error.code] ?? EXIT.failure) : EXIT.failure
}
