/**
 * A logger that exists before its destination does: level and redaction come from the configuration, which is read
 * when the app starts. Lines are kept until then, and go out in order.
 */
import type { Logger } from '../telemetry/log.ts'

type Level = 'debug' | 'info' | 'warn' | 'error'

/** Lines that are kept; more are counted and left out, so that a flood before the start cannot fill the memory. */
const MAX_KEPT = 1_000

export interface DeferredLogger extends Logger {
  /** Sends what was kept, and everything from now on, to `destination`. */
  attach(destination: Logger): void
}

export function deferredLogger(): DeferredLogger {
  const kept: ((destination: Logger) => void)[] = []
  let leftOut = 0
  let target: Logger | undefined

  const keep = (write: (destination: Logger) => void): void => {
    if (kept.length < MAX_KEPT) kept.push(write)
    else leftOut++
  }
  const make = (chain: readonly object[]): Logger => {
    let own: Logger | undefined
    const resolve = (destination: Logger): Logger =>
      (own ??= chain.reduce<Logger>((logger, fields) => logger.child(fields), destination))
    const write = (level: Level, what: string | object, message?: string): void => {
      const pass = (destination: Logger): void => {
        // One argument stays one: to a logger with printf a second one is a value to be formatted.
        if (message === undefined) resolve(destination)[level](what)
        else resolve(destination)[level](what, message)
      }
      if (target === undefined) keep(pass)
      else pass(target)
    }
    return {
      debug: (what, message) => write('debug', what, message),
      info: (what, message) => write('info', what, message),
      warn: (what, message) => write('warn', what, message),
      error: (what, message) => write('error', what, message),
      child: (fields) => make([...chain, fields]),
    }
  }
  return {
    ...make([]),
    attach(destination) {
      if (target !== undefined) return
      target = destination
      for (const write of kept.splice(0)) write(destination)
      if (leftOut > 0) destination.warn({ leftOut }, 'log lines before the start were left out')
    },
  }
}
