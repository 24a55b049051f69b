/**
 * One membership in a group: a consumer of the driver and the stream it reads with.
 *
 *     open ──▶ assigned ──rebalance──▶ assigned … ──failure──▶ closed       a failed member is never used again
 *
 * After each rebalance it reads with a new stream. The driver's own would go on with the answers of fetches that were
 * under way, at positions of before; a new one begins at what is committed, and what comes again is known by its offset.
 * Failures are what the driver reports, heartbeats that stall, and fetches that are not answered: a frozen or cut off
 * broker keeps the connection, and the driver with it.
 */
import { waitOrAbort } from '../../../core/abort.ts'
import type { Clock, Timer } from '../../../core/clock.ts'
import { SluiceError, toError } from '../../../core/errors.ts'
import { closeWithin } from '../client/clients.ts'
import { driverError } from '../client/errors.ts'
import type { KafkaModule, RawConsumer, RawMessage, RawStream, StreamOptions } from '../client/peer.ts'
import type { ClientSettings } from '../client/settings.ts'
import type { Commit } from './tracker.ts'

export interface Place {
  readonly topic: string
  readonly partition: number
}

export interface MemberOptions {
  readonly component: string
  readonly module: KafkaModule
  readonly settings: ClientSettings
  readonly group: string
  readonly topics: readonly string[]
  readonly from: 'beginning' | 'end'
  readonly instanceId: string | undefined
  readonly sessionTimeoutMs: number
  /** What the reader may hold. */
  readonly maxBytes: number
  readonly clock: Clock
  readonly onMessage: (raw: RawMessage) => void
  /** `keep`: no other member can have had a partition that is ours before and after. */
  readonly onAssigned: (places: readonly Place[], keep: boolean) => void
  /** The last moment to commit what is finished. */
  readonly onRebalance: () => void
  /** Called once; close it then. */
  readonly onFailure: (error: SluiceError) => void
}

const FETCH_WAIT_MS = 1_000
const LEAST_FETCH_BYTES = 1_048_576
const MOST_FETCH_BYTES = 16 * 1_048_576
/** A fetch answers within its wait, also with nothing. */
const FETCH_SILENCE_MS = 12_000
const WATCH_EVERY_MS = 1_000
const CLOSE_LIMIT_MS = 3_000
const JOIN_LIMIT_MS = 1_500
const JOIN_STEP_MS = 20
const CLOSE_TRIES = 10
const CLOSE_AGAIN_MS = 200

export class Member {
  readonly #options: MemberOptions
  readonly #consumer: RawConsumer
  #stream: RawStream | undefined
  #paused = false
  #fetchedAt = 0
  #watch: Timer | undefined
  #failed = false
  #opened = false
  #opening: Promise<RawStream> | undefined
  #identity = { memberId: '', generation: -1 }
  #swapping: Promise<void> | undefined
  #swapAgain = false

  constructor(options: MemberOptions) {
    this.#options = options
    const { module, settings, group, instanceId, sessionTimeoutMs } = options
    const consumer = new module.Consumer({
      ...settings,
      clientId: `${settings.clientId}-consumer`,
      groupId: group,
      // Joining a group waits for its other members.
      requestTimeout: Math.max(settings.requestTimeout, sessionTimeoutMs + 10_000),
      sessionTimeout: sessionTimeoutMs,
      rebalanceTimeout: Math.max(sessionTimeoutMs, 5_000),
      heartbeatInterval: Math.max(100, Math.min(3_000, Math.floor(sessionTimeoutMs / 4))),
      heartbeatStallTimeout: Math.max(sessionTimeoutMs, 2_000),
      autocommit: false,
      ...(instanceId === undefined ? {} : { groupInstanceId: instanceId }),
    })
    this.#consumer = consumer
    consumer.on('error', (error: Error) => this.#fail(error))
    consumer.on('consumer:heartbeat:stalled', () =>
      this.#fail(
        new SluiceError('SLUICE_TIMEOUT', `${options.component}: the group does not answer heartbeats`, {
          retryable: true,
        }),
      ),
    )
    consumer.on('consumer:group:rebalance', () => options.onRebalance())
    consumer.on('consumer:group:join', () => {
      if (this.#stream !== undefined) this.#swapStream()
    })
  }

  /** Resolves when it is a member and reads. */
  async open(signal: AbortSignal): Promise<void> {
    try {
      this.#opening = this.#openStream()
      const stream = await waitOrAbort(this.#opening, signal)
      // Closed meanwhile.
      if (this.#failed) return
      this.#opened = true
      this.#assigned(false)
      this.#read(stream)
      this.#tend()
    } catch (error) {
      if (signal.aborted) throw error
      throw driverError(error, this.#options.component)
    }
  }

  /** Stops or goes on fetching. Heartbeats go on. */
  pause(paused: boolean): void {
    this.#paused = paused
    this.#fetchedAt = this.#options.clock.monotonic()
    if (this.#stream === undefined) return
    if (paused) this.#stream.pause()
    else this.#stream.resume()
  }

  async commit(commits: readonly Commit[]): Promise<void> {
    try {
      await this.#consumer.commit({ offsets: [...commits] })
    } catch (error) {
      throw driverError(error, this.#options.component)
    }
  }

  /** Reads again from what is committed. Nothing that was received before counts. */
  async restart(): Promise<void> {
    this.#swapStream(false)
    await this.#swapping
  }

  async close(): Promise<void> {
    this.#failed = true
    this.#watch?.cancel()
    this.#stream?.pause()
    this.#stream = undefined
    await closeWithin(() => this.#leave(), CLOSE_LIMIT_MS, this.#options.clock)
  }

  /** A close that cannot leave the group is undone by the driver, heartbeats and all, so it is asked again. */
  async #leave(): Promise<void> {
    // A stream that is being opened may join once more, and nothing would leave again.
    await this.#swapping
    await this.#joined()
    for (let tries = 1; ; tries++) {
      try {
        await this.#consumer.close(true)
        return
      } catch (error) {
        if (tries >= CLOSE_TRIES) throw error
        await this.#options.clock.sleep(CLOSE_AGAIN_MS, { keepAlive: false })
      }
    }
  }

  /** The driver does not end a join that is under way either: it would send heartbeats for ever. */
  async #joined(): Promise<void> {
    const { clock } = this.#options
    let isOpening = !this.#opened && this.#opening !== undefined
    this.#opening?.catch(() => {}).finally(() => (isOpening = false))
    const joins = (): boolean => (this.#opened ? !this.#consumer.isActive() : isOpening)
    for (let waited = 0; joins() && waited < JOIN_LIMIT_MS; waited += JOIN_STEP_MS)
      await clock.sleep(JOIN_STEP_MS, { keepAlive: false })
  }

  /**
   * A stream asks for its positions once it is made, and fails where its consumer was closed meanwhile: before any
   * promise could settle, so it is listened to from within the callback. Unheard, its error would end the process.
   */
  #openStream(): Promise<RawStream> {
    // What a fetch brings is held as well, beside what is held already.
    const fetchBytes = Math.min(MOST_FETCH_BYTES, Math.max(LEAST_FETCH_BYTES, this.#options.maxBytes))
    const options: StreamOptions = {
      topics: [...this.#options.topics],
      mode: 'committed',
      fallbackMode: this.#options.from === 'beginning' ? 'earliest' : 'latest',
      autocommit: false,
      minBytes: 1,
      maxBytes: fetchBytes,
      maxBytesPerPartition: fetchBytes,
      maxWaitTime: FETCH_WAIT_MS,
    }
    return new Promise((resolve, reject) => {
      this.#consumer.consume(options, (error, stream) => {
        if (error !== null || stream === undefined) return reject(toError(error))
        // Once it is no longer ours, its errors are nobody's.
        stream.on('error', (failure) => {
          if (this.#stream === stream) this.#fail(failure)
        })
        // Nobody waits for it any more.
        if (this.#failed) stream.destroy()
        resolve(stream)
      })
    })
  }

  #read(stream: RawStream): void {
    this.#stream = stream
    this.#fetchedAt = this.#options.clock.monotonic()
    // It may have failed before it was ours.
    if (stream.destroyed) return this.#fail(stream.errored ?? new Error('the stream ended'))
    stream.on('close', () => {
      if (this.#stream === stream) this.#fail(new Error('the stream ended'))
    })
    stream.on('fetch', () => (this.#fetchedAt = this.#options.clock.monotonic()))
    stream.on('data', (message) => {
      if (this.#stream === stream) this.#options.onMessage(message)
    })
    if (this.#paused) stream.pause()
  }

  #assigned(mayKeep: boolean): void {
    const { memberId, generationId, assignments } = this.#consumer
    const before = this.#identity
    this.#identity = { memberId: memberId ?? '', generation: generationId }
    const isNext = before.memberId === this.#identity.memberId && generationId === before.generation + 1
    const places = (assignments ?? []).flatMap(({ topic, partitions }) =>
      partitions.map((partition) => ({ topic, partition })),
    )
    this.#options.onAssigned(places, mayKeep && isNext)
  }

  #swapStream(keep = true): void {
    if (this.#swapping !== undefined) {
      this.#swapAgain = true
      return
    }
    const old = this.#stream
    this.#stream = undefined
    old?.pause()
    this.#swapping = (async () => {
      do {
        this.#swapAgain = false
        if (this.#failed) return
        // The old one still counts as a reader of the topics, so this joins nothing anew.
        const stream = await this.#openStream()
        old?.destroy()
        if (this.#failed || this.#swapAgain) stream.destroy()
        else {
          this.#assigned(keep)
          this.#read(stream)
        }
      } while (this.#swapAgain && !this.#failed)
    })()
      .catch((error: unknown) => this.#fail(error))
      .finally(() => (this.#swapping = undefined))
  }

  #tend(): void {
    const { clock, component } = this.#options
    this.#watch = clock.setTimer(
      () => {
        const isSilent = clock.monotonic() - this.#fetchedAt > FETCH_SILENCE_MS
        const reads =
          !this.#paused && this.#swapping === undefined && (this.#consumer.assignments?.length ?? 0) > 0
        if (reads && isSilent)
          this.#fail(
            new SluiceError('SLUICE_TIMEOUT', `${component}: the brokers do not answer fetches`, {
              retryable: true,
            }),
          )
        else this.#tend()
      },
      WATCH_EVERY_MS,
      { keepAlive: false },
    )
  }

  #fail(error: unknown): void {
    if (this.#failed) return
    this.#failed = true
    this.#watch?.cancel()
    this.#options.onFailure(driverError(error, this.#options.component))
  }
}
