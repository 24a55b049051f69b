/**
 * Events as handlers see them. Each is decoded once in this process and handed to all subscriptions, so what they share
 * is frozen; the schema runs once for each event and type, when the first handler asks for it.
 */
import { SluiceError, toError } from '../core/errors.ts'
import { checkData } from '../core/standard-schema.ts'
import type { EventRow } from '../engine/log/window.ts'
import type { EventHead } from './encode.ts'
import type { EventType } from './event.ts'

const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze({})

/** One event of the log. */
export class StoredEvent {
  readonly row: EventRow
  readonly topic: string
  #head: EventHead | undefined
  #type: EventType<unknown, unknown> | undefined
  #data: unknown
  #state: 'new' | 'decoded' = 'new'

  constructor(row: EventRow, topic: string) {
    this.row = row
    this.topic = topic
  }

  get head(): EventHead {
    this.#head ??= parseHead(this.row.head)
    return this.#head
  }
  get headers(): Readonly<Record<string, string>> {
    return this.head.h ?? NO_HEADERS
  }

  /**
   * The data as `type` says it is; of an event without a type, as it was published. Throws or rejects with
   * SLUICE_INVALID_DATA.
   */
  data(type: EventType<unknown, unknown> | undefined): unknown {
    if (this.#state === 'decoded' && this.#type === type) return this.#data
    const data = decodeData(this.topic, this.row.version, this.row.body, type)
    if (data instanceof Promise) return data
    this.#state = 'decoded'
    this.#type = type
    this.#data = data
    return data
  }
}

export function decodeData(
  topic: string,
  version: number,
  body: string | null,
  type: EventType<unknown, unknown> | undefined,
): unknown {
  const what = `event "${topic}"`
  let data: unknown
  try {
    data = JSON.parse(body ?? '')
  } catch (error) {
    throw new SluiceError('SLUICE_INVALID_DATA', `${what}: is no JSON`, { cause: toError(error) })
  }
  if (type === undefined) return deepFreeze(data)
  const checked = checkData(type.schema, upcast(what, version, data, type), what)
  return checked instanceof Promise ? checked.then(deepFreeze) : deepFreeze(checked)
}

function upcast(what: string, version: number, data: unknown, type: EventType<unknown, unknown>): unknown {
  if (version > type.version) {
    throw new SluiceError(
      'SLUICE_INVALID_DATA',
      `${what}: has version ${version}, newer than this program, which knows ${type.version}`,
    )
  }
  let current = data
  for (let from = version; from < type.version; from++) {
    const step = type.upcast.get(from)
    // Without a step the schema says whether the older data fits.
    if (step === undefined) continue
    try {
      current = step(current)
    } catch (error) {
      throw new SluiceError('SLUICE_INVALID_DATA', `${what}: the upcast of version ${from} failed`, {
        cause: toError(error),
      })
    }
  }
  return current
}

function parseHead(head: string | null): EventHead {
  if (head === null) return {}
  try {
    return JSON.parse(head) as EventHead
  } catch {
    // Written by other hands: the event itself may be fine.
    return {}
  }
}

/** Plain objects and arrays, all the way down; what a schema made of other classes is left as it is. */
function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  const isPlain = Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype
  if (!isPlain) return value
  const pending: object[] = [value]
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    Object.freeze(next)
    for (const child of Object.values(next) as unknown[]) {
      if (typeof child !== 'object' || child === null || Object.isFrozen(child)) continue
      if (Array.isArray(child) || Object.getPrototypeOf(child) === Object.prototype) pending.push(child)
    }
  }
  return value
}
