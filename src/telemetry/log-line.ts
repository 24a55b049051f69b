/** A line of the log before it is text, and its levels. */

export type Level = 'debug' | 'info' | 'warn' | 'error'

export interface Line {
  readonly level: Level
  /** Milliseconds since 1970, of when it was written and not of when it went out. */
  readonly time: number
  /** Redacted. */
  readonly fields: Readonly<Record<string, unknown>>
  /** Redacted. */
  readonly message: string
}

/** The numbers that pino writes. */
export const LEVEL_NUMBERS: Readonly<Record<Level, number>> = { debug: 20, info: 30, warn: 40, error: 50 }

/** From the least to the most important; `silent` writes nothing. */
export type LevelSetting = Level | 'silent'

/**
 * The level that a setting such as OTEL_LOG_VERBOSITY names: pino's and OpenTelemetry's names in any case, and the
 * severity numbers of OpenTelemetry (1-4 trace, 5-8 debug, 9-12 info, 13-16 warn, 17-24 error and fatal).
 * Undefined for anything else.
 */
export function parseLevel(setting: string): LevelSetting | undefined {
  const text = setting.trim().toLowerCase()
  if (/^\d+$/.test(text)) return levelOfSeverity(Number(text))
  return NAMES[text]
}

const NAMES: Readonly<Record<string, LevelSetting | undefined>> = Object.assign(Object.create(null), {
  trace: 'debug',
  debug: 'debug',
  verbose: 'debug',
  info: 'info',
  warn: 'warn',
  warning: 'warn',
  error: 'error',
  fatal: 'error',
  silent: 'silent',
  none: 'silent',
  off: 'silent',
})

function levelOfSeverity(severity: number): LevelSetting | undefined {
  if (severity < 1 || severity > 24) return undefined
  if (severity <= 8) return 'debug'
  if (severity <= 12) return 'info'
  return severity <= 16 ? 'warn' : 'error'
}
