/**
 * `request.log` in the routes of a service: the service's own logger in the shape that Fastify's plugins expect. Its
 * lines name the request as all lines do that are written while one is served.
 *
 * It is made once a service and not once a request, as Fastify would make it: a child a request, with the check of its
 * methods, costs more than a hello world may.
 */
import type { FastifyBaseLogger } from 'fastify'
import type { Logger } from '../telemetry/log.ts'

export function requestLog(log: Logger): FastifyBaseLogger {
  return {
    debug: (what: string | object, message?: string) => pass(log, 'debug', what, message),
    info: (what: string | object, message?: string) => pass(log, 'info', what, message),
    warn: (what: string | object, message?: string) => pass(log, 'warn', what, message),
    error: (what: string | object, message?: string) => pass(log, 'error', what, message),
    // Levels that only Fastify knows.
    trace: (what: string | object, message?: string) => pass(log, 'debug', what, message),
    fatal: (what: string | object, message?: string) => pass(log, 'error', what, message),
    silent: () => {},
    level: 'info',
    child: (fields: object) => requestLog(log.child(fields)),
  } as FastifyBaseLogger
}

type Level = 'debug' | 'info' | 'warn' | 'error'

/** One argument stays one: to a logger with printf a second one is a value to be formatted. */
function pass(log: Logger, level: Level, what: string | object, message: string | undefined): void {
  if (message === undefined) log[level](what)
  else log[level](what, message)
}
