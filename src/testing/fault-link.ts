/**
 * One way of a proxied connection: what `source` sends goes to `sink`, through the faults of that way.
 *
 * Bytes keep their order. At most MAX_QUEUED_BYTES wait here; then `source` is no longer read, so that a slow or cut way
 * pushes back on the sender as a network does.
 */
import type { Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { systemClock } from '../core/clock.ts'
import type { FaultWay, WayFaults } from './fault-settings.ts'

const MAX_QUEUED_BYTES = 64 * 1024
/** A limited bandwidth is spread over so many writes a second. */
const WRITES_PER_SECOND = 20

export interface FaultLinkOptions {
  readonly way: FaultWay
  readonly source: Socket
  readonly sink: Socket
  readonly faults: WayFaults
  readonly random: () => number
  /** Ends the link, without a word to either side. */
  readonly signal: AbortSignal
  /** How many of `bytes` may pass before the connection must be reset. */
  readonly allow: (bytes: number) => number
  readonly reset: () => void
  readonly onPassed: (bytes: number) => void
  readonly onDropped: (bytes: number) => void
  readonly onCorrupted: () => void
}

/** 'end': the source says no more. 'close': it is gone, and hears nothing either. */
type Item = { readonly dueAt: number; readonly bytes: Buffer | 'end' | 'close' }

export class FaultLink {
  readonly #options: FaultLinkOptions
  readonly #queue: Item[] = []
  #queuedBytes = 0
  #sinceCorruption = 0
  #wakeUp = Promise.withResolvers<void>()

  constructor(options: FaultLinkOptions) {
    this.#options = options
    const { source, signal } = options
    source.on('data', (bytes: Buffer) => this.#enqueue(bytes))
    source.once('end', () => this.#enqueue('end'))
    source.once('close', () => this.#enqueue('close'))
    signal.addEventListener('abort', () => this.changed(), { once: true })
  }

  /** The faults are others now, or the link has ended. */
  changed(): void {
    this.#wakeUp.resolve()
  }

  /** Passes bytes on until both ends are gone or the signal aborts. Never rejects. */
  async run(): Promise<void> {
    const { signal, faults } = this.#options
    while (!signal.aborted) {
      const item = this.#queue[0]
      if (item === undefined || faults.held) {
        await this.#nextChange()
        continue
      }
      if (!(await this.#until(item.dueAt)) || faults.held) continue
      this.#queue.shift()
      if (typeof item.bytes === 'string') {
        await this.#end(item.bytes)
        continue
      }
      await this.#pass(item.bytes)
      this.#queuedBytes -= item.bytes.length
      if (this.#queuedBytes < MAX_QUEUED_BYTES) this.#options.source.resume()
    }
  }

  async #end(how: 'end' | 'close'): Promise<void> {
    const { faults, source, sink } = this.#options
    // Nobody is left to end this side, for the other died without its being told.
    if (sink.destroyed) source.destroySoon()
    if (faults.endSwallowed || !(await this.#until(systemClock.monotonic() + faults.closeDelayMs))) return
    if (how === 'end') sink.end()
    else sink.destroySoon()
  }

  #enqueue(bytes: Item['bytes']): void {
    const { faults, random, source } = this.#options
    const dueAt = systemClock.monotonic() + faults.latencyMs + random() * faults.jitterMs
    const last = this.#queue.at(-1)
    this.#queue.push({ bytes, dueAt: Math.max(dueAt, last?.dueAt ?? 0) })
    if (typeof bytes !== 'string') {
      this.#queuedBytes += bytes.length
      if (this.#queuedBytes >= MAX_QUEUED_BYTES) source.pause()
    }
    this.changed()
  }

  async #pass(received: Buffer): Promise<void> {
    const { faults, signal, way, reset, onDropped, onPassed } = this.#options
    const answer = faults.intercept === undefined ? received : faults.intercept(received, way)
    if (answer === 'reset') return reset()
    if (answer === undefined || faults.dropped) return onDropped(received.length)
    let rest = this.#corrupt(answer)
    while (rest.length > 0 && !signal.aborted) {
      const size = Math.min(rest.length, faults.sliceBytes, Math.ceil(faults.bandwidth / WRITES_PER_SECOND))
      const allowed = this.#options.allow(size)
      if (allowed > 0) {
        onPassed(allowed)
        await this.#write(rest.subarray(0, allowed))
      }
      if (allowed < size) return reset()
      rest = rest.subarray(size)
      while (faults.held && !signal.aborted) await this.#nextChange()
      if (faults.bandwidth !== Infinity) {
        await this.#until(systemClock.monotonic() + (size / faults.bandwidth) * 1_000)
      } else if (faults.sliceBytes !== Infinity) {
        // One turn of the loop apart, or the kernel would join the slices into one segment.
        await nextTurn()
      }
    }
  }

  #write(bytes: Buffer): Promise<void> {
    const { sink, signal } = this.#options
    // The other side may be gone already, as seen by a side that was not told: its bytes go nowhere.
    if (sink.destroyed || sink.writableEnded) return Promise.resolve()
    return new Promise((resolve) => {
      sink.write(bytes, () => resolve())
      if (signal.aborted) resolve()
    })
  }

  #corrupt(bytes: Buffer): Buffer {
    const { faults, random, onCorrupted } = this.#options
    const { corruptEvery } = faults
    if (corruptEvery === 0) return bytes
    const changed = Buffer.from(bytes)
    let start = corruptEvery - this.#sinceCorruption
    for (; start <= changed.length; start += corruptEvery) {
      const from = Math.max(0, start - corruptEvery)
      const at = from + Math.floor(random() * (start - from))
      changed[at] = (changed[at] ?? 0) ^ (1 + Math.floor(random() * 255))
      onCorrupted()
    }
    this.#sinceCorruption = changed.length - (start - corruptEvery)
    return changed
  }

  /** Waits until a monotonic time; false when the link ended before. */
  async #until(time: number): Promise<boolean> {
    const { signal } = this.#options
    const ms = time - systemClock.monotonic()
    if (ms <= 0) return !signal.aborted
    return systemClock.sleep(ms, { signal }).then(
      () => true,
      () => false,
    )
  }

  async #nextChange(): Promise<void> {
    await this.#wakeUp.promise
    this.#wakeUp = Promise.withResolvers<void>()
  }
}
