/** Durations of options that end up in timers and in the database, neither of which takes any number. */
import { durationMs, type Duration } from './duration.ts'
import { invalidArgument } from './errors.ts'

/** Milliseconds of `value`, or SLUICE_INVALID_ARGUMENT, which names both bounds. */
export function boundedMs(value: Duration, option: string, min: Duration, max: Duration): number {
  const ms = durationMs(value, option)
  if (ms >= durationMs(min, option) && ms <= durationMs(max, option)) return ms
  throw invalidArgument(option, `a duration from ${min} to ${max}`, value)
}
