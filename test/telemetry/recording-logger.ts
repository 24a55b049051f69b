/** A logger that keeps its lines, for tests that look at them. */
import { readCall } from '../../src/telemetry/log-call.ts'
import type { Logger } from '../../src/telemetry/log.ts'

export interface RecordedLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly message: string
  readonly [field: string]: unknown
}

export function recordingLogger(
  lines: RecordedLine[],
  bound: Readonly<Record<string, unknown>> = {},
): Logger {
  const write =
    (level: RecordedLine['level']) =>
    (what: string | object, text?: string): void => {
      const { fields, message } = readCall(bound, what, text)
      lines.push({ ...fields, level, message })
    }
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: (fields) => recordingLogger(lines, { ...bound, ...fields }),
  }
}
