/** Durations: milliseconds as a number, or a string such as `'5s'`. Parsed here and nowhere else. */
import { invalidArgument } from './errors.ts'

/** Milliseconds, or a number with a unit: `'250ms'`, `'5s'`, `'1.5m'`, `'2h'`, `'1d'`; parts add up: `'1h30m'`. */
export type Duration = number | string

const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const
export type DurationUnit = keyof typeof UNIT_MS

const PART = /(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*/gy

/**
 * Milliseconds of a duration, or undefined where it is none. A bare number (also as a string) counts in `bareUnit`.
 * Negative, infinite and empty values are no durations.
 */
export function parseDuration(value: Duration, bareUnit: DurationUnit = 'ms'): number | undefined {
  if (typeof value === 'number') return value >= 0 ? finite(value * UNIT_MS[bareUnit]) : undefined
  // Options come from plain JavaScript too.
  if (typeof value !== 'string') return undefined
  const text = value.trim()
  if (/^\d+(\.\d+)?$/.test(text)) return finite(Number(text) * UNIT_MS[bareUnit])
  if (text === '') return undefined
  let total = 0
  let end = 0
  PART.lastIndex = 0
  for (let match = PART.exec(text); match !== null; match = PART.exec(text)) {
    total += Number(match[1]) * UNIT_MS[match[2] as DurationUnit]
    end = PART.lastIndex
  }
  return end === text.length ? finite(total) : undefined
}

function finite(ms: number): number | undefined {
  return Number.isFinite(ms) ? ms : undefined
}

/** Milliseconds of an option; throws SLUICE_INVALID_ARGUMENT naming the option and the value. */
export function durationMs(value: Duration, option: string): number {
  const ms = parseDuration(value)
  if (ms === undefined) {
    throw invalidArgument(option, "milliseconds or a duration such as '5s'", value)
  }
  return ms
}

/** `1500` as `1.5s`, for people. */
export function formatDuration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)}ms`
  if (ms < 60_000) return `${Math.round(ms / 100) / 10}s`
  if (ms < 3_600_000) return `${Math.round(ms / 6_000) / 10}m`
  return `${Math.round(ms / 360_000) / 10}h`
}
