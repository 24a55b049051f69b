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
import type { Duration } from '../../core/duration.ts'
import { SluiceError } from '../../core/errors.ts'
import type { CounterCell } from '../../telemetry/metric.ts'
import { settle, type CachedOptions, type Settings } from './cached-options.ts'
import { fromJson, type Found } from './cached-value.ts'
import { Flight, type Loader } from './flight.ts'
import type { Invoker } from './invoke.ts'

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
      async ({ signal }) => {
        const settings = settle(ttl, options)
        const flight = this.#flights.get(key) ?? this.#begin(key, settings, load)
        return fromJson<T>(await flight.join(signal))
      },
      { signal: options.signal },
    ) as AsyncResult<T>
  }

  /** What is being loaded for these keys will not be stored. */
  forget(keys: string | readonly string[]): void {
    if (this.#flights.size === 0) return
    for (const key of typeof keys === 'string' ? [keys] : keys) {
      this.#flights.get(key)?.outdate()
      // Who asks from now on must not be given the old value either.
      this.#flights.delete(key)
    }
  }

  close(): void {
    const closed = new SluiceError('SLUICE_CLOSED', `${this.#invoker.name} was closed`)
    this.#stopped.abort(closed)
    for (const flight of this.#flights.values()) flight.abort(closed)
  }

  /** The read is part of the flight: a thousand callers read once too. */
  #begin(key: string, settings: Settings, load: Loader<unknown>): Flight {
    const flight = new Flight({
      invoker: this.#invoker,
      key,
      settings,
      load,
      stopped: this.#stopped.signal,
      onFound: (state) => this.#counters[state].add(),
      onOver: () => {
        if (this.#flights.get(key) === flight) this.#flights.delete(key)
      },
    })
    this.#flights.set(key, flight)
    flight.start()
    return flight
  }
}
