/** Options of the commands about what is stored in a database, and how their values are read. */
import { durationMs } from '../../core/duration.ts'
import { CONFIG_OPTION, JSON_OPTION, type Invocation, type Option } from '../command.ts'
import { EXIT } from '../exit-codes.ts'
import { Misunderstood } from '../misunderstood.ts'

export const DATABASE_OPTIONS: readonly Option[] = [
  { name: 'dsn', value: 'url', doc: 'the database; default: that of the app, else POSTGRES_DSN' },
  { name: 'database', value: 'name', doc: 'the component of the app, where it has several databases' },
  CONFIG_OPTION,
  JSON_OPTION,
]

export const DATABASE_EXITS: Readonly<Record<number, string>> = {
  [EXIT.ok]: 'done',
  [EXIT.failure]: 'not done: the database does not work, or what was named is not there',
  [EXIT.usage]: 'command not understood, no such file, or no database named',
  [EXIT.config]: 'the configuration is wrong; nothing was connected',
}

export const LIMIT: Option = { name: 'limit', value: 'number', doc: 'at most so many, 1 to 10000' }
export const SUBSCRIPTION: Option = { name: 'subscription', value: 'name', doc: 'of this subscription' }
export const BEFORE: Option = {
  name: 'before',
  value: 'time',
  doc: 'died before: a time such as 2026-01-31T12:00Z, or how long ago, such as 2d',
}
export const DRY_RUN: Option = { name: 'dry-run', doc: 'only say how many it would be' }
export const YES: Option = { name: 'yes', doc: 'all of them: needed where nothing says which' }

const MAX_LIMIT = 10_000

export function limitOf({ values }: Invocation, byDefault: number): number {
  return wholeNumber(values['limit'], 'limit', 1, MAX_LIMIT) ?? byDefault
}

export function wholeNumber(
  text: string | undefined,
  option: string,
  min: number,
  max: number,
): number | undefined {
  if (text === undefined) return undefined
  const value = Number(text)
  if (/^\d+$/.test(text) && value >= min && value <= max) return value
  throw new Misunderstood(
    `--${option}: expected a whole number from ${min} to ${max}, got ${JSON.stringify(text)}`,
  )
}

/** A time, or a time ago by the clock that says `now`. */
export function timeOf(text: string, option: string, now: Date): Date {
  const isDuration = /^[\d.]+(ms|s|m|h|d)/.test(text)
  const time = isDuration ? new Date(now.getTime() - durationOf(text, option)) : new Date(text)
  // A bare number would be a year.
  if (!Number.isNaN(time.getTime()) && !/^\d+$/.test(text)) return time
  const expected = 'a time such as 2026-01-31T12:00Z, or how long ago, such as 2d'
  throw new Misunderstood(`--${option}: expected ${expected}, got ${JSON.stringify(text)}`)
}

function durationOf(text: string, option: string): number {
  try {
    return durationMs(text, option)
  } catch (error) {
    throw new Misunderstood((error as Error).message)
  }
}

/** The words, which must be ids. */
export function idsOf({ words }: Invocation): readonly string[] {
  const wrong = words.find((word) => !/^\d{1,18}$/.test(word))
  if (wrong === undefined) return words
  throw new Misunderstood(`expected an id, which is a number, got ${JSON.stringify(wrong)}`)
}

/** The command to type next about the same database. What a DSN holds is not repeated: it may be a password. */
export function nextCommand({ file, values, config }: Invocation, command: string, rest = ''): string {
  const words = ['npx sluice', command]
  if (file !== undefined) words.push(file)
  if (rest !== '') words.push(rest)
  if (values['dsn'] !== undefined) words.push('--dsn …')
  if (values['database'] !== undefined) words.push(`--database ${values['database']}`)
  if (config !== undefined) words.push(`--config ${config}`)
  return words.join(' ')
}
