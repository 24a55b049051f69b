/**
 * The kinds of field. Each takes its environment names, a default and a line of documentation; without a default the
 * field is optional and its value may be undefined.
 *
 * Text from the environment and from YAML is trimmed, so that the newline at the end of a mounted secret does no harm.
 * A text field refuses YAML's numbers and booleans instead of guessing how they were written: `0123` would lose its 0.
 */
import { parseDuration, type Duration, type DurationUnit } from '../core/duration.ts'
import { REDACTED } from '../core/redact-url.ts'
import { redactUrl } from './redact.ts'
import { formatSize, parseSize } from './size.ts'
import type { Field, Origin, Parsed, Secrecy } from './section.ts'

export { nested, record } from './nested.ts'

export interface FieldOptions {
  /** Name in the environment, or names, the preferred one first. @default none */
  readonly env?: string | readonly string[]
  /** One line: what it does. */
  readonly doc: string
  /** The default in words, where it depends on the machine. */
  readonly defaultText?: string
}
export interface Defaulted<D> extends FieldOptions {
  readonly default: D
}
export interface Optional extends FieldOptions {
  readonly default?: undefined
}
export interface Range {
  /** Least value allowed. */
  readonly min?: number
  /** Greatest value allowed. */
  readonly max?: number
}

/** Any text that is not empty. */
export function text(options: Defaulted<string>): Field<string>
export function text(options: Optional): Field<string | undefined>
export function text(
  options: FieldOptions & { readonly default?: string | undefined },
): Field<string | undefined> {
  return field(options, 'text', parseText, { show: String })
}

/** Text that is never shown. */
export function secret(options: Optional): Field<string | undefined> {
  return field(options, 'text, secret', parseText, { secrecy: 'secret', show: () => REDACTED })
}

/** A connection string; it is shown without its credentials. The component that uses it parses it. */
export function url(options: Defaulted<string>): Field<string>
export function url(options: Optional): Field<string | undefined>
export function url(
  options: FieldOptions & { readonly default?: string | undefined },
): Field<string | undefined> {
  return field(options, 'connection string', parseText, { secrecy: 'url', show: redactUrl })
}

/** A whole number. */
export function integer(options: Defaulted<number> & Range): Field<number>
export function integer(options: Optional & Range): Field<number | undefined>
export function integer(
  options: FieldOptions & Range & { readonly default?: number | undefined },
): Field<number | undefined> {
  const type = `integer${rangeText(options, String)}`
  return field(
    options,
    type,
    (raw) => {
      const value = typeof raw === 'string' && /^[+-]?\d+$/.test(raw.trim()) ? Number(raw) : raw
      return Number.isSafeInteger(value) ? inRange(value as number, options, type) : wrong(type)
    },
    { show: String },
  )
}

/** A number, whole or not. */
export function number(options: Defaulted<number> & Range): Field<number>
export function number(options: Optional & Range): Field<number | undefined>
export function number(
  options: FieldOptions & Range & { readonly default?: number | undefined },
): Field<number | undefined> {
  const type = `number${rangeText(options, String)}`
  return field(
    options,
    type,
    (raw) => {
      const value = typeof raw === 'string' && /^[+-]?\d+(\.\d+)?$/.test(raw.trim()) ? Number(raw) : raw
      return typeof value === 'number' && Number.isFinite(value) ? inRange(value, options, type) : wrong(type)
    },
    { show: String },
  )
}

const BOOLEANS: Readonly<Record<string, boolean>> = {
  true: true,
  yes: true,
  on: true,
  '1': true,
  false: false,
  no: false,
  off: false,
  '0': false,
}

/** true or false; also yes/no, on/off, 1/0, in any case. Anything else is a fault: `fasle` is not false. */
export function boolean(options: Defaulted<boolean>): Field<boolean>
export function boolean(options: Optional): Field<boolean | undefined>
export function boolean(
  options: FieldOptions & { readonly default?: boolean | undefined },
): Field<boolean | undefined> {
  const type = 'true or false'
  return field(
    options,
    type,
    (raw, origin) => {
      if (typeof raw === 'boolean') return right(raw)
      if (origin === 'code' || (typeof raw !== 'string' && typeof raw !== 'number')) return wrong(type)
      const word = String(raw).trim().toLowerCase()
      return Object.hasOwn(BOOLEANS, word)
        ? right(BOOLEANS[word] as boolean)
        : wrong(`${type} (or yes/no, on/off, 1/0)`)
    },
    { show: String },
  )
}

const UNIT_NAMES = { ms: 'milliseconds', s: 'seconds', m: 'minutes', h: 'hours', d: 'days' } as const

/**
 * A duration; the value is in milliseconds. Text without a unit counts in `unit`, the one that the name has always
 * had; a number in code counts milliseconds, as everywhere in code; `'5s'` is five seconds everywhere.
 */
export function duration(options: Defaulted<Duration> & DurationOptions): Field<number>
export function duration(options: Optional & DurationOptions): Field<number | undefined>
export function duration(
  options: FieldOptions & DurationOptions & { readonly default?: Duration | undefined },
): Field<number | undefined> {
  const least = options.min === undefined ? undefined : parseDuration(options.min)
  const most = options.max === undefined ? undefined : parseDuration(options.max)
  const range = {
    ...(least === undefined ? {} : { min: least }),
    ...(most === undefined ? {} : { max: most }),
  }
  const type = `duration such as '5s'; a bare number counts ${UNIT_NAMES[options.unit]}${rangeText(range, formatExactly)}`
  const parse = (raw: unknown, origin: Origin): Parsed<number> => {
    if (typeof raw !== 'number' && typeof raw !== 'string') return wrong(type)
    const unit = origin === 'code' ? 'ms' : options.unit
    const ms = parseDuration(raw, unit)
    return ms === undefined ? wrong(type) : inRange(ms, range, type)
  }
  const { default: value, ...rest } = options
  const ms = value === undefined ? {} : { default: parseDuration(value) }
  return field({ ...rest, ...ms }, type, parse, { show: formatExactly })
}

export interface DurationOptions {
  /** What a bare number in the environment or in YAML counts. */
  readonly unit: DurationUnit
  /** Least value allowed. */
  readonly min?: Duration
  /** Greatest value allowed. */
  readonly max?: Duration
}

/** A size; the value is in bytes. */
export function size(options: Defaulted<number | string> & SizeOptions): Field<number>
export function size(options: Optional & SizeOptions): Field<number | undefined>
export function size(
  options: FieldOptions & SizeOptions & { readonly default?: number | string | undefined },
): Field<number | undefined> {
  const least = options.min === undefined ? undefined : parseSize(options.min)
  const most = options.max === undefined ? undefined : parseSize(options.max)
  const range = {
    ...(least === undefined ? {} : { min: least }),
    ...(most === undefined ? {} : { max: most }),
  }
  const type = `size such as '64mb'; a bare number counts bytes${rangeText(range, formatSize)}`
  const { default: value, ...rest } = options
  const bytes = value === undefined ? {} : { default: parseSize(value) }
  return field(
    { ...rest, ...bytes },
    type,
    (raw) => {
      const parsed = typeof raw === 'number' || typeof raw === 'string' ? parseSize(raw) : undefined
      return parsed === undefined ? wrong(type) : inRange(parsed, range, type)
    },
    { show: formatSize },
  )
}

export interface SizeOptions {
  /** Least value allowed. */
  readonly min?: number | string
  /** Greatest value allowed. */
  readonly max?: number | string
}

/** Texts: comma-separated, or a list in YAML and in code. Empty parts are dropped. */
export function list(options: Defaulted<readonly string[]>): Field<readonly string[]>
export function list(options: Optional): Field<readonly string[] | undefined>
export function list(
  options: FieldOptions & { readonly default?: readonly string[] | undefined },
): Field<readonly string[] | undefined> {
  const type = 'list of texts, or texts separated by commas'
  return field(
    options,
    type,
    (raw) => {
      const parts: unknown = typeof raw === 'string' ? raw.split(',') : raw
      if (!Array.isArray(parts) || parts.some((part) => typeof part !== 'string')) return wrong(type)
      return right(parts.map((part: string) => part.trim()).filter((part) => part !== ''))
    },
    { show: (value) => value.join(',') },
  )
}

/** One of a few words. */
export function oneOf<const C extends string>(choices: readonly C[], options: Defaulted<NoInfer<C>>): Field<C>
export function oneOf<const C extends string>(choices: readonly C[], options: Optional): Field<C | undefined>
export function oneOf<const C extends string>(
  choices: readonly C[],
  options: FieldOptions & { readonly default?: C | undefined },
): Field<C | undefined> {
  const type = `one of ${choices.join(', ')}`
  return field(
    options,
    type,
    (raw) => {
      const word = typeof raw === 'string' ? raw.trim() : raw
      const choice = choices.find((each) => each === word)
      return choice === undefined ? wrong(type) : right(choice)
    },
    { show: String },
  )
}

/** The frame of every kind: for kinds of your own. `show` is called with values only, never with undefined. */
export function field<T>(
  options: FieldOptions & { readonly default?: T | undefined },
  type: string,
  parse: (raw: unknown, origin: Origin) => Parsed<T>,
  more: { readonly show: (value: T) => string; readonly secrecy?: Secrecy },
): Field<T | undefined> {
  const env = typeof options.env === 'string' ? [options.env] : (options.env ?? [])
  return Object.freeze({
    parse: (raw: unknown, origin: Origin = 'text') => parse(raw, origin),
    defaultValue: options.default,
    env: Object.freeze([...env]),
    secrecy: more.secrecy ?? 'public',
    doc: options.doc,
    ...(options.defaultText === undefined ? {} : { defaultText: options.defaultText }),
    type,
    show: (value: T | undefined) => (value === undefined ? '' : more.show(value)),
  })
}

function parseText(raw: unknown, origin: Origin): Parsed<string> {
  if (typeof raw === 'number' || typeof raw === 'boolean') return wrong(`text; write it in quotes`)
  if (typeof raw !== 'string') return wrong('text')
  // What is given in code is meant as it is: it never comes out of a file with a newline at its end.
  const value = origin === 'code' ? raw : raw.trim()
  if (value === '') return wrong('text that is not empty')
  return value.includes('\0') ? wrong('text without a NUL character') : right(value)
}

function inRange(value: number, range: Range, type: string): Parsed<number> {
  const fits = value >= (range.min ?? -Infinity) && value <= (range.max ?? Infinity)
  return fits ? right(value) : wrong(type)
}

function rangeText(range: Range, show: (value: number) => string): string {
  if (range.min !== undefined && range.max !== undefined) return `, ${show(range.min)} to ${show(range.max)}`
  if (range.min !== undefined) return `, at least ${show(range.min)}`
  return range.max === undefined ? '' : `, at most ${show(range.max)}`
}

/** In the largest unit that says it exactly: formatDuration rounds, and a configuration is shown as it is. */
export function formatExactly(ms: number): string {
  if (ms === 0 || ms % 1_000 !== 0) return `${ms}ms`
  const seconds = ms / 1_000
  if (seconds % 60 !== 0) return `${seconds}s`
  return seconds % 3_600 === 0 ? `${seconds / 3_600}h` : `${seconds / 60}m`
}

export const right = <T>(value: T): Parsed<T> => ({ ok: true, value })
export const wrong = <T>(expected: string): Parsed<T> => ({ ok: false, expected })
