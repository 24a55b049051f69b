/**
 * Reading through the cache: `cached(key, ttl, load)`.
 *
 * A miss is loaded once for all who ask meanwhile in this process (single flight), and with `lock` once for all
 * processes. The value is stored as JSON with no wrapping, so that `getJson` reads the same key. What a caller gets has
 * always been through JSON, also on a miss: a Date is text from the first call on and not only from the second.
 *
 *     ask ─▶ flight under way? ──yes──▶ wait with the others
 *              │ no
 *              ▼
 *            read ──hit──▶ value            stale (past its ttl, within staleFor) ──▶ value, and a load behind it
 *              │ miss, or the cache fails
 *              ▼
 *            load ──▶ everybody's value ──▶ write (the flight lasts until it is written, so that nobody loads between)
 */
import { AsyncResult } from '../../core/async-result.ts'
import { waitOrAbort } from '../../core/abort.ts'
import type { Duration } from '../../core/duration.ts'
import { SluiceError, toError } from '../../core/errors.ts'
import type { CounterCell } from '../../telemetry/metric.ts'
import type { Command, Reply } from './backend.ts'
import { settle, type CachedOptions, type Settings } from './cached-options.ts'
import { asText, defineOperation, invalid } from './commands/command.ts'
import type { Invoker } from './invoke.ts'
import { acquireLock } from './lock.ts'

/** Where a value that is not cached comes from. The signal aborts when nobody waits any more, or at `loadTimeout`. */
export type Loader<T> = (context: { readonly signal: AbortSignal }) => Promise<T> | T

/** A load under way, and everybody who waits for it. */
interface Flight {
  /** JSON text of the value; undefined for undefined. */
  readonly json: Promise<string | undefined>
  readonly controller: AbortController
  waiting: number
  /** Everybody has the value, or the error; what is left to do is done for whoever asks next. */
  landed: boolean
  /** The key was deleted or written meanwhile: what was loaded may be older, and is not stored. */
  outdated: boolean
}

type Land = (json: string | undefined) => void

interface Found {
  readonly state: 'hit' | 'stale' | 'miss' | 'error'
  readonly json?: string
}

const READ = defineOperation('cached.read', true)
const PTTL: (key: string) => Command<Reply> = (key) => ({
  spec: READ,
  args: ['PTTL', key],
  parse: (reply) => reply,
})
const GET: (key: string) => Command<Reply> = (key) => ({ spec: READ, args: ['GET', key], parse: asText })

export class ReadThrough {
  readonly #invoker: Invoker
  readonly #flights = new Map<string, Flight>()
  readonly #counters: Readonly<Record<Found['state'], CounterCell>>
  readonly #stopped = new AbortController()

  constructor(invoker: Invoker) {
    this.#invoker = invoker
    const requests = invoker.metrics.counter(
      'sluice_redis_cached_requests_total',
      'Reads through the cache, by what was found.',
    )
    const cell = (result: string): CounterCell => requests.with({ component: invoker.name, result })
    this.#counters = { hit: cell('hit'), stale: cell('stale'), miss: cell('miss'), error: cell('error') }
  }

  cached<T>(key: string, ttl: Duration, load: Loader<T>, options: CachedOptions = {}): AsyncResult<T> {
    return AsyncResult.start(
      `${this.#invoker.name}.cached`,
      async ({ signal }) => parse<T>(await this.#get(key, settle(ttl, options), load, signal)),
      { signal: options.signal },
    ) as AsyncResult<T>
  }

  /** What is being loaded for these keys will not be stored. */
  forget(keys: string | readonly string[]): void {
    if (this.#flights.size === 0) return
    for (const key of typeof keys === 'string' ? [keys] : keys) {
      const flight = this.#flights.get(key)
      if (flight === undefined) continue
      flight.outdated = true
      // Who asks from now on must not be given the old value either.
      this.#flights.delete(key)
    }
  }

  close(): void {
    const closed = new SluiceError('SLUICE_CLOSED', 'redis was closed')
    this.#stopped.abort(closed)
    for (const flight of this.#flights.values()) flight.controller.abort(closed)
  }

  async #get(
    key: string,
    settings: Settings,
    load: Loader<unknown>,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const flight = this.#flights.get(key) ?? this.#begin(key, settings, load)
    flight.waiting += 1
    try {
      return await waitOrAbort(flight.json, signal)
    } finally {
      flight.waiting -= 1
      if (flight.waiting === 0 && !flight.landed) {
        // Nobody wants it any more, and whoever comes next begins anew.
        this.#drop(key, flight)
        flight.controller.abort(signal.reason)
      }
    }
  }

  /** The read is part of the flight: a thousand callers read once too. */
  #begin(key: string, settings: Settings, load: Loader<unknown>): Flight {
    const { promise, resolve, reject } = Promise.withResolvers<string | undefined>()
    const flight: Flight = {
      json: promise,
      controller: new AbortController(),
      waiting: 0,
      landed: false,
      outdated: false,
    }
    this.#flights.set(key, flight)
    const land: Land = (json) => {
      flight.landed = true
      resolve(json)
    }
    this.#fly(key, settings, load, flight, land)
      .catch((error: unknown) => {
        flight.landed = true
        reject(error)
      })
      .finally(() => this.#drop(key, flight))
    return flight
  }

  #drop(key: string, flight: Flight): void {
    if (this.#flights.get(key) === flight) this.#flights.delete(key)
  }

  async #fly(
    key: string,
    settings: Settings,
    load: Loader<unknown>,
    flight: Flight,
    land: Land,
  ): Promise<void> {
    const found = await this.#read(key, settings)
    this.#counters[found.state].add()
    if (found.json === undefined) {
      await this.#fill(key, settings, load, flight, land)
      return
    }
    land(found.json)
    if (found.state !== 'stale') return
    try {
      await this.#fill(key, settings, load, flight, () => {})
    } catch (error) {
      this.#invoker.log.warn({ err: toError(error), key }, 'redis: a stale value could not be loaded anew')
    }
  }

  async #read(key: string, settings: Settings): Promise<Found> {
    const name = this.#invoker.key(key)
    try {
      if (settings.staleFor === 0) {
        const json = await this.#invoker.send(GET(name))
        return typeof json === 'string' ? this.#checked(key, json, 'hit') : { state: 'miss' }
      }
      const [json, left] = await this.#invoker.sendMany(READ, [GET(name), PTTL(name)], asTheyAre)
      if (json instanceof SluiceError) throw json
      if (typeof json !== 'string') return { state: 'miss' }
      const isStale = typeof left === 'number' && left >= 0 && left < settings.staleFor
      return this.#checked(key, json, isStale ? 'stale' : 'hit')
    } catch (error) {
      if (settings.onCacheError === 'throw') throw error
      return { state: 'error' }
    }
  }

  /** A key that holds something else than JSON counts as a miss, and is written over. */
  #checked(key: string, json: string, state: 'hit' | 'stale'): Found {
    try {
      JSON.parse(json)
      return { state, json }
    } catch {
      this.#invoker.log.warn({ key }, 'redis: a cached key held no JSON and is loaded anew')
      return { state: 'miss' }
    }
  }

  async #fill(
    key: string,
    settings: Settings,
    load: Loader<unknown>,
    flight: Flight,
    land: Land,
  ): Promise<void> {
    if (settings.lock === 0) return this.#loadAndStore(key, settings, load, flight, land)
    const lock = await acquireLock(this.#invoker, `cached:${key}`, {
      ttl: Math.max(1_000, settings.lock),
      wait: settings.lock,
      signal: flight.controller.signal,
    }).catch((error: unknown) => {
      if (flight.controller.signal.aborted) throw error
      return undefined
    })
    try {
      // Whoever had the lock before may have written it.
      const found = await this.#read(key, settings)
      if (found.state === 'hit') land(found.json)
      else await this.#loadAndStore(key, settings, load, flight, land)
    } finally {
      await lock?.release().catch(() => undefined)
    }
  }

  async #loadAndStore(
    key: string,
    settings: Settings,
    load: Loader<unknown>,
    flight: Flight,
    land: Land,
  ): Promise<void> {
    const value = await this.#load(load, settings.loadTimeout, flight)
    const isNegative = value === undefined || value === null
    const json: string | undefined = value === undefined ? undefined : stringify(value)
    const ttl = isNegative ? settings.negativeTtl : settings.ttl + settings.staleFor
    // Nothing will be written: whoever comes next shall ask anew, not join.
    if (ttl === 0) this.#drop(key, flight)
    land(json)
    if (flight.outdated || this.#stopped.signal.aborted) return
    const { commands, random } = this.#invoker
    const jitter = isNegative ? 0 : settings.ttl * settings.jitter * random()
    try {
      if (ttl > 0) {
        await this.#invoker.send(commands.set(key, json ?? 'null', { ttl: Math.max(1, ttl - jitter) }))
        // A delete that came meanwhile may have reached the server first, on another connection or before a retry.
        if (this.#isOutdated(flight)) await this.#invoker.send(commands.del(key))
      } else if (settings.staleFor > 0) {
        // The old value says that there is something; now there is nothing.
        await this.#invoker.send(commands.del(key))
      }
    } catch (error) {
      // The callers have their value; the next one will find a miss.
      this.#invoker.log.warn({ err: toError(error), key }, 'redis: a loaded value could not be cached')
    }
  }

  /** A call, because what is read again after an await may have changed. */
  #isOutdated(flight: Flight): boolean {
    return flight.outdated
  }

  async #load(load: Loader<unknown>, limitMs: number, flight: Flight): Promise<unknown> {
    const { controller } = flight
    const timer = this.#invoker.clock.setTimer(() => {
      const message = `"${this.#invoker.name}: cached" timed out: the loader took more than ${limitMs} ms`
      controller.abort(new SluiceError('SLUICE_TIMEOUT', message, { operation: 'cached' }))
    }, limitMs)
    try {
      controller.signal.throwIfAborted()
      return await waitOrAbort(Promise.resolve(load({ signal: controller.signal })), controller.signal)
    } finally {
      timer.cancel()
    }
  }
}

const asTheyAre = <T>(results: T): T => results

function parse<T>(json: string | undefined): T {
  // What `load` returned decides T; undefined comes back where it returned that.
  return (json === undefined ? undefined : JSON.parse(json)) as T
}

function stringify(value: unknown): string {
  let json: string | undefined
  try {
    json = JSON.stringify(value)
  } catch (error) {
    throw new SluiceError('SLUICE_INVALID_ARGUMENT', 'cached: the loaded value cannot be written as JSON', {
      cause: error,
    })
  }
  if (json === undefined)
    throw invalid(`cached: the loaded value cannot be written as JSON: it is a ${typeof value}`)
  return json
}
