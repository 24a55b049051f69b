/** What an event is: its topic, the schema of its data, and how older versions become this one. Written once, shared by who publishes and who reads. */
import { checkOptionNames } from '../config/known-options.ts'
import { invalidArgument } from '../core/errors.ts'
import { isStandardSchema, type StandardSchema } from '../core/standard-schema.ts'

/** Makes data of one version into data of the next. */
export type Upcast = (old: unknown) => unknown

export interface EventOptions {
  /** Of the schema, 1 to 1000. @default 1 */
  readonly version?: number | undefined
  /** For each older version, what makes it one version newer: `{ 1: (old) => ({ ...old, title: '' }) }`. */
  readonly upcast?: Readonly<Record<number, (old: never) => unknown>> | undefined
}

export interface EventType<Input, Output = Input> {
  readonly topic: string
  readonly schema: StandardSchema<Input, Output>
  readonly version: number
  readonly upcast: ReadonlyMap<number, Upcast>
}

/** Words of letters, digits, _ and -, joined by dots. */
const TOPIC = /^[a-zA-Z0-9_-]+(\.[a-zA-Z0-9_-]+)*$/
const MAX_NAME = 200
const MAX_VERSION = 1_000

/** Could it be the topic of an event? */
export function isTopic(text: unknown): text is string {
  return typeof text === 'string' && text.length <= MAX_NAME && TOPIC.test(text)
}

/** Names an event. Throws SLUICE_INVALID_ARGUMENT. Nothing is registered anywhere: it is a value. */
export function event<Input, Output>(
  topic: string,
  schema: StandardSchema<Input, Output>,
  options: EventOptions = {},
): EventType<Input, Output> {
  if (!isTopic(topic)) {
    throw invalidArgument(
      'event',
      'words of letters, digits, _ and -, joined by dots, at most 200 characters',
      topic,
    )
  }
  const what = `event "${topic}"`
  if (!isStandardSchema(schema)) {
    throw invalidArgument(`${what}: schema`, 'a Standard Schema (zod, valibot, arktype)', schema)
  }
  checkOptionNames(`${what}: options`, options, ['version', 'upcast'])
  const { version = 1, upcast = {} } = options
  if (!Number.isSafeInteger(version) || version < 1 || version > MAX_VERSION) {
    throw invalidArgument(`${what}: version`, `a whole number from 1 to ${MAX_VERSION}`, version)
  }
  const steps = new Map<number, Upcast>()
  for (const [key, step] of Object.entries(upcast)) {
    const from = Number(key)
    if (!Number.isSafeInteger(from) || from < 1 || from >= version) {
      throw invalidArgument(`${what}: upcast`, `versions from 1 to ${version - 1}`, key)
    }
    if (typeof step !== 'function') throw invalidArgument(`${what}: upcast.${key}`, 'a function', step)
    steps.set(from, step as Upcast)
  }
  return Object.freeze({ topic, schema, version, upcast: steps })
}

/** Is this what `event` returns? */
export function isEventType(value: unknown): value is EventType<unknown, unknown> {
  return typeof value === 'object' && value !== null && 'topic' in value && 'upcast' in value
}

const SUBSCRIPTION = /^[a-zA-Z0-9][a-zA-Z0-9_.:-]{0,99}$/

/** Throws SLUICE_INVALID_ARGUMENT. */
export function checkSubscriptionName(name: unknown): void {
  if (typeof name === 'string' && SUBSCRIPTION.test(name)) return
  throw invalidArgument('subscription', 'letters, digits and _ . : -, at most 100', name)
}
