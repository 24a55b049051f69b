/**
 * What an expression means: the next time after a given one. Parsed and computed by croner, which is loaded with the
 * first expression; nothing else of it is used, no timers and no registry.
 *
 * Daylight saving: an expression with one fixed time of day (`30 2 * * *`) runs once a day, at the first valid time
 * after a gap and at the first of two equal times; one that repeats (`*\/30 * * * *`) runs at each real time.
 *
 * `next` always lies after what it was given, whatever croner says: a loop over it ends.
 */
import { createRequire } from 'node:module'
import type * as croner from 'croner'
import { invalidArgument, SluiceError } from '../core/errors.ts'

export interface Expression {
  readonly text: string
  readonly timezone: string
  /** The first slot after this time, in milliseconds since 1970; undefined where there is none before the year 10000. */
  next(afterMs: number): number | undefined
  /** The last slot at or before this time. */
  lastAt(ms: number): number | undefined
}

const MAX_LENGTH = 200
const SECOND = 1_000
const HINT =
  "Five fields 'minute hour day month weekday', six with seconds first, or @hourly, @daily, @weekly, @monthly, @yearly."

/** `where` names the place in messages. Throws SLUICE_INVALID_ARGUMENT with the value and a remedy. */
export function parseExpression(where: string, text: string, timezone = 'UTC'): Expression {
  checkTimezone(where, timezone)
  const cron = parse(where, text, timezone)
  const expression: Expression = {
    text,
    timezone,
    next(afterMs) {
      // Slots are whole seconds, so the first one after a fraction is the first one after its second.
      const after = Math.floor(afterMs / SECOND) * SECOND
      const found = cron.nextRun(new Date(after))?.getTime()
      if (found === undefined || found > after) return found
      const later = cron.nextRun(new Date(after + SECOND))?.getTime()
      return later === undefined || later > after ? later : undefined
    },
    lastAt(ms) {
      const found = cron.previousRuns(1, new Date(Math.floor(ms / SECOND) * SECOND + SECOND))[0]?.getTime()
      return found !== undefined && found <= ms ? found : undefined
    },
  }
  if (expression.next(Date.UTC(2000, 0, 1)) === undefined) {
    throw refused(
      where,
      text,
      'names no day that exists',
      'Days run to 28, 29, 30 or 31, as the month has it.',
    )
  }
  return expression
}

function parse(where: string, text: string, timezone: string): croner.Cron {
  if (typeof text !== 'string' || text.length > MAX_LENGTH) {
    throw invalidArgument(`${where}: expression`, `text of at most ${MAX_LENGTH} characters`, text)
  }
  // croner takes dates as well, for a single run; a schedule repeats.
  if (!text.startsWith('@') && ![5, 6].includes(text.trim().split(/\s+/).length)) {
    throw refused(where, text, 'does not have five or six fields', HINT)
  }
  const { Cron } = createRequire(import.meta.url)('croner') as typeof croner
  try {
    return new Cron(text, { timezone, mode: '5-or-6-parts', paused: true })
  } catch (error) {
    const why = error instanceof Error ? error.message.replace(/^\w+: /, '') : String(error)
    throw refused(where, text, why, HINT, error)
  }
}

function checkTimezone(where: string, timezone: string): void {
  try {
    // eslint-disable-next-line no-new -- made to see whether it throws
    new Intl.DateTimeFormat('en', { timeZone: timezone })
  } catch (cause) {
    throw new SluiceError(
      'SLUICE_INVALID_ARGUMENT',
      `${where}: time zone ${JSON.stringify(timezone)} is not known`,
      {
        cause,
        hint: 'Use a name of the IANA database such as Europe/Berlin, or UTC.',
      },
    )
  }
}

function refused(where: string, text: string, why: string, hint: string, cause?: unknown): SluiceError {
  return new SluiceError('SLUICE_INVALID_ARGUMENT', `${where}: expression ${JSON.stringify(text)}: ${why}`, {
    cause,
    hint,
  })
}
