/**
 * Time limits of createApp that contradict what the configuration says: the shorter one would win without a word. Only
 * what was set is held against what was set; a default gives way.
 */
import type { AppOptions } from './options.ts'
import type { Components, UserSchemas } from './service.ts'
import type { Settings } from './settings.ts'
import { formatExactly } from '../config/fields.ts'
import { configError, type Problem } from '../config/problem.ts'
import { durationMs, type Duration } from '../core/duration.ts'

/** Throws SLUICE_CONFIG that names both. */
export function refuseContradictions<C extends Components, S extends UserSchemas>(
  { http = {}, shutdown = {} }: AppOptions<C, S>,
  { app, entries }: Settings,
): void {
  const problems: Problem[] = []
  const check = (option: string, given: Duration | undefined, limit: Limit): void => {
    if (given === undefined || durationMs(given, option) <= limit.ms) return
    const source = entries.find(({ path }) => path === limit.path)?.source ?? 'default'
    if (source === 'default') return
    const expected = `at most ${limit.name} (${formatExactly(limit.ms)}, ${source})`
    problems.push({ path: option, source: 'code', expected, got: formatExactly(durationMs(given, option)) })
  }
  const budget = { name: 'shutdown.budget', path: 'app.shutdown_timeout', ms: app.shutdownTimeout }
  const whole = { name: 'http.requestTimeout', path: 'app.request_timeout', ms: app.requestTimeout }
  check('shutdown.httpTimeout', shutdown.httpTimeout, budget)
  check('shutdown.workTimeout', shutdown.workTimeout, budget)
  check('shutdown.closeTimeout', shutdown.closeTimeout, budget)
  check('http.headersTimeout', http.headersTimeout, whole)
  if (problems.length > 0) throw configError(problems)
}

interface Limit {
  readonly name: string
  /** Of its entry in the configuration. */
  readonly path: string
  readonly ms: number
}
