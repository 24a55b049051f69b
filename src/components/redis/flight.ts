/**
 * One reading through the cache, and everybody who waits for it: the read, the load where there was nothing, and the
 * write. It lands once, with everybody's value or error; what is left to do after that is done for whoever asks next.
 *
 * It is over when it has written, so that nobody loads between; or when nobody waits any more and it has not landed.
 */
import { waitOrAbort } from '../../core/abort.ts'
import { SluiceError, toError } from '../../core/errors.ts'
import type { Settings } from './cached-options.ts'
import { readCached, toJson, type Found } from './cached-value.ts'
import type { Invoker } from './invoke.ts'
import { acquireLock } from './lock.ts'

/** Where a value that is not cached comes from. The signal aborts when nobody waits any more, or at `loadTimeout`. */
export type Loader<T> = (context: { readonly signal: AbortSignal }) => Promise<T> | T

export interface FlightOptions {
  readonly invoker: Invoker
  readonly key: string
  readonly settings: Settings
  readonly load: Loader<unknown>
  /** Aborts when the component closes. */
  readonly stopped: AbortSignal
  readonly onFound: (state: Found['state']) => void
  /** Nobody may join it any more. May be called more than once. */
  readonly onOver: () => void
}

export class Flight {
  readonly #options: FlightOptions
  /** JSON text of the value; undefined for undefined. */
  readonly #json = Promise.withResolvers<string | undefined>()
  readonly #controller = new AbortController()
  #waiting = 0
  #landed = false
  #outdated = false

  constructor(options: FlightOptions) {
    this.#options = options
  }

  start(): void {
    this.#fly()
      .catch((error: unknown) => {
        this.#landed = true
        this.#json.reject(error)
      })
      .finally(this.#options.onOver)
  }

  /** The value; the wait ends with the signal, and the flight with the last who waits. */
  async join(signal: AbortSignal): Promise<string | undefined> {
    this.#waiting += 1
    try {
      return await waitOrAbort(this.#json.promise, signal)
    } finally {
      this.#waiting -= 1
      if (this.#waiting === 0 && !this.#landed) {
        // Nobody wants it any more, and whoever comes next begins anew.
        this.#options.onOver()
        this.#controller.abort(signal.reason)
      }
    }
  }

  /** The key was deleted or written meanwhile: what is loaded may be older, and is not stored. */
  outdate(): void {
    this.#outdated = true
  }

  abort(reason: unknown): void {
    this.#controller.abort(reason)
  }

  #land(json: string | undefined): void {
    this.#landed = true
    this.#json.resolve(json)
  }

  async #fly(): Promise<void> {
    const { invoker, key, settings, onFound } = this.#options
    const found = await readCached(invoker, key, settings)
    onFound(found.state)
    if (found.json === undefined) {
      await this.#fill()
      return
    }
    this.#land(found.json)
    if (found.state !== 'stale') return
    try {
      await this.#fill()
    } catch (error) {
      const text = `${invoker.name}: a stale value could not be loaded anew`
      invoker.log.warn({ err: toError(error), key }, text)
    }
  }

  async #fill(): Promise<void> {
    const { invoker, key, settings } = this.#options
    const { signal } = this.#controller
    if (settings.lock === 0) return this.#loadAndStore()
    const lock = await acquireLock(invoker, `cached:${key}`, {
      ttl: Math.max(1_000, settings.lock),
      wait: settings.lock,
      signal,
    }).catch((error: unknown) => {
      if (signal.aborted) throw error
      return undefined
    })
    try {
      // Whoever had the lock before may have written it.
      const found = await readCached(invoker, key, settings)
      if (found.state === 'hit') this.#land(found.json)
      else await this.#loadAndStore()
    } finally {
      await lock?.release().catch(() => undefined)
    }
  }

  async #loadAndStore(): Promise<void> {
    const { settings, stopped, onOver } = this.#options
    const value = await this.#load()
    const isNegative = value === undefined || value === null
    const json = toJson(value)
    const ttl = isNegative ? settings.negativeTtl : settings.ttl + settings.staleFor
    // Nothing will be written: whoever comes next shall ask anew, not join.
    if (ttl === 0) onOver()
    this.#land(json)
    if (this.#isOutdated() || stopped.aborted) return
    await this.#store(json, ttl, isNegative)
  }

  async #store(json: string | undefined, ttl: number, isNegative: boolean): Promise<void> {
    const { invoker, key, settings } = this.#options
    const { commands, random } = invoker
    const jitter = isNegative ? 0 : settings.ttl * settings.jitter * random()
    try {
      if (ttl > 0) {
        await invoker.send(commands.set(key, json ?? 'null', { ttl: Math.max(1, ttl - jitter) }))
        // A delete that came meanwhile may have reached the server first, on another connection or before a retry.
        if (this.#isOutdated()) await invoker.send(commands.del(key))
      } else if (settings.staleFor > 0) {
        // The old value says that there is something; now there is nothing.
        await invoker.send(commands.del(key))
      }
    } catch (error) {
      // The callers have their value; the next one will find a miss.
      invoker.log.warn({ err: toError(error), key }, `${invoker.name}: a loaded value could not be cached`)
    }
  }

  /** A call, because what is read again after an await may have changed. */
  #isOutdated(): boolean {
    return this.#outdated
  }

  async #load(): Promise<unknown> {
    const { invoker, load, settings } = this.#options
    const { loadTimeout } = settings
    const { signal } = this.#controller
    const timer = invoker.clock.setTimer(() => {
      const message = `"${invoker.name}: cached" timed out: the loader took more than ${loadTimeout} ms`
      this.#controller.abort(new SluiceError('SLUICE_TIMEOUT', message, { operation: 'cached' }))
    }, loadTimeout)
    try {
      signal.throwIfAborted()
      return await waitOrAbort(Promise.resolve(load({ signal })), signal)
    } finally {
      timer.cancel()
    }
  }
}
