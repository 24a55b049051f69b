/**
 * A replicator at work: sessions of the sink, the stream into the lanes, loads. One start, one stop.
 *
 *     opening ──lease, state──► running ──lease lost──► opening
 *        │ another holds the lease: standby
 *
 * A session begins with the lease. What the store says then decides where the stream goes on: after its cursor, where the
 * data of a load is there, else from now on, with a load. When the session is lost (another took over, the store was
 * emptied or went back in time) everything in memory is let go, and the next session goes on from what is stored.
 *
 * Ready is: a session, the marker of a load, no load under way, a live stream since the start, and no change that waits
 * longer than `maxLagMs`. A disconnect leaves it as it is.
 */
import { waitOrAbort } from '../core/abort.ts'
import { backoffMs } from '../core/backoff.ts'
import { hasCode, SluiceError, toError } from '../core/errors.ts'
import { Lifecycle } from '../core/lifecycle.ts'
import { Breaker } from '../policy/breaker.ts'
import { LogLimit } from '../telemetry/log-limit.ts'
import type { HistogramCell } from '../telemetry/metric.ts'
import type { DeadReason, EntityData, Loader, Receiver, Sink, SinkState, Source } from './contract.ts'
import { addUp } from './counters.ts'
import type { Lane } from './lanes/lane.ts'
import { Lanes } from './lanes/lanes.ts'
import type { Slot } from './lanes/slot.ts'
import { runLoad, type LoadProgress, type LoadResult } from './load.ts'
import { observe } from './observe.ts'
import { SINK_CLOSE_MS, type RuntimeOptions } from './settings.ts'
import { streamIdText, type StreamId } from './stream-id.ts'

export type Role = 'idle' | 'opening' | 'standby' | 'active' | 'closed'

const OPEN_BACKOFF = { baseMs: 100, capMs: 5_000 }
const READY_POLL_MS = 100
const WARN_EVERY_MS = 10_000

export class Runtime {
  readonly lanes: Lanes
  readonly sink: Sink
  readonly source: Source
  readonly breaker: Breaker
  readonly #loader: Loader | undefined
  readonly #options: RuntimeOptions
  readonly #lifecycle: Lifecycle
  readonly #warnings: LogLimit
  readonly #letters: LogLimit
  readonly #takeDown: (() => void)[] = []
  readonly #latency: HistogramCell
  readonly #writes: HistogramCell
  #role: Role = 'idle'
  /** The load whose data is in the store; undefined where none is complete. */
  #loaded: string | undefined
  #progress: LoadProgress | undefined
  #loading: AbortController | undefined
  #lastLoad: LoadResult | undefined
  #lastError: Error | undefined
  #wasLive = false
  #isLive = false
  #session: { readonly lost: PromiseWithResolvers<Error>; readonly controller: AbortController } | undefined
  #sessions = 0
  #disconnects = 0
  #reloads = 0
  #pauses = 0
  #changed = Promise.withResolvers<void>()
  readonly #ending = new AbortController()
  readonly #firstOpen = Promise.withResolvers<void>()

  constructor(options: RuntimeOptions) {
    this.#options = options
    const { context } = options
    const { clock, metrics, name } = context
    this.sink = options.sink(context)
    this.source = options.source(context)
    this.#loader = options.loader?.(context)
    this.breaker = new Breaker({
      name: `${name}: sink`,
      clock,
      consecutive: options.breakerThreshold,
      window: false,
      resetMs: options.breakerTimeoutMs,
      isFailure: () => true,
      onChange: (state) =>
        context.log.warn({ breaker: state.kind }, `${name}: the breaker of the sink is ${state.kind}`),
    })
    this.lanes = new Lanes({
      specs: context.lanes,
      settings: options.lanes,
      clock,
      random: context.random,
      breaker: this.breaker,
      apply: (batch, signal) => this.sink.apply(batch, signal),
      keepsData: this.sink.readsData,
      observer: {
        full: (lane) => this.#onFull(lane),
        room: () => this.source.resume(),
        lost: (error) => this.#session?.lost.resolve(error),
        failed: (lane, error) => this.#onFailed(lane, error),
        stored: (_lane, slots, durationMs, now) => this.#onStored(slots, durationMs, now),
        dead: (lane, letter) => this.#onDead(lane, letter.reason, letter.detail),
      },
    })
    this.#warnings = new LogLimit(clock, WARN_EVERY_MS)
    this.#letters = new LogLimit(clock, WARN_EVERY_MS)
    this.#latency = metrics
      .histogram(
        'sluice_replicator_latency_seconds',
        'From the receipt of a change to its storing.',
        LATENCY_BOUNDS,
      )
      .with({ component: name })
    this.#writes = metrics
      .histogram('sluice_replicator_write_seconds', 'Time of one batch in the sink.', LATENCY_BOUNDS)
      .with({ component: name })
    this.#lifecycle = new Lifecycle({
      name,
      start: (signal) => this.#start(signal),
      stop: () => this.#stop(),
      onError: (error, what) => context.log.error({ err: error }, `${name}: ${what} failed`),
    })
  }

  get role(): Role {
    return this.#role
  }
  get loaded(): string | undefined {
    return this.#loaded
  }
  get progress(): LoadProgress | undefined {
    return this.#progress
  }
  get lastLoad(): LoadResult | undefined {
    return this.#lastLoad
  }
  get lastError(): Error | undefined {
    return this.#lastError
  }
  get isLive(): boolean {
    return this.#isLive
  }
  get facts() {
    return {
      sessions: this.#sessions,
      disconnects: this.#disconnects,
      reloads: this.#reloads,
      pauses: this.#pauses,
    }
  }
  /** Age of the oldest change that waits, in milliseconds; 0 where none does. */
  get lagMs(): number {
    const oldest = this.lanes.oldestMs
    return oldest === undefined ? 0 : Math.max(0, this.#options.context.clock.monotonic() - oldest)
  }
  /** Why it is not ready; undefined when it is. */
  get notReady(): string | undefined {
    if (this.#role !== 'active')
      return this.#role === 'standby' ? 'another writer holds the lease' : this.#role
    if (this.#progress !== undefined) return `loading (${this.#progress.phase}, ${this.#progress.rows} rows)`
    if (this.#loaded === undefined) return 'no complete load is stored'
    if (!this.#wasLive) return 'the source is not connected yet'
    const lag = this.lagMs
    return lag > this.#options.maxLagMs ? `a change waits for ${Math.round(lag)} ms` : undefined
  }

  /** Resolves when the sink was opened, or another is found to hold its lease. Rejects when the sink cannot be opened. */
  start(): Promise<void> {
    return this.#lifecycle.start()
  }

  /** Resolves when it is ready, or stands by for another writer. */
  async ready(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options.context
    while (this.notReady !== undefined && this.#role !== 'standby') {
      // Lag changes without anybody telling.
      await Promise.race([waitOrAbort(this.#changed.promise, signal), clock.sleep(READY_POLL_MS, { signal })])
    }
  }

  /** Resolves at the next change of role, load or connection. */
  changed(signal: AbortSignal): Promise<void> {
    return waitOrAbort(this.#changed.promise, signal)
  }

  /** Reads no more. */
  async stopIntake(signal: AbortSignal): Promise<void> {
    await this.source.close(signal)
  }

  /** Stores what waits, and the cursor. */
  async drain(signal: AbortSignal): Promise<void> {
    if (this.#role === 'active') await this.lanes.drain(signal)
  }

  stop(): Promise<void> {
    return this.#lifecycle.stop()
  }

  /** Begins a load, as if the source had asked for it. */
  reload(reason: string): void {
    if (this.#session === undefined)
      throw new SluiceError('SLUICE_NOT_READY', 'there is no session of the sink', { retryable: true })
    this.#startLoad(this.lanes.positions.newest, reason)
  }

  async #start(signal: AbortSignal): Promise<void> {
    const { context, reportMs } = this.#options
    this.#takeDown.push(observe(this, context))
    const ending = this.#ending.signal
    this.#lifecycle.spawn('the replicator', this.#run(ending))
    this.#lifecycle.spawn('the report', this.#report(reportMs, ending))
    try {
      await waitOrAbort(this.#firstOpen.promise, signal)
    } catch (error) {
      await this.#stop()
      throw error
    }
  }

  async #stop(): Promise<void> {
    const limit = AbortSignal.timeout(SINK_CLOSE_MS)
    this.#ending.abort(new SluiceError('SLUICE_SHUTDOWN', 'the replicator is stopping'))
    await this.source.close(limit)
    this.#endSession(new SluiceError('SLUICE_SHUTDOWN', 'the replicator is stopping'))
    this.lanes.close()
    await this.sink.close(limit).catch((error: unknown) => this.#note(toError(error)))
    for (const takeDown of this.#takeDown.splice(0)) takeDown()
    this.#turn('closed')
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#options.context
    let attempt = 0
    let isOpen = false
    while (!signal.aborted) {
      this.#turn('opening')
      let state: SinkState
      const lost = Promise.withResolvers<Error>()
      try {
        state = await this.sink.open({
          lanes: this.lanes.lanes.map(({ spec }) => spec.name),
          onLost: (error) => lost.resolve(error),
          onWaiting: () => {
            this.#turn('standby')
            this.#firstOpen.resolve()
          },
          signal,
        })
      } catch (error) {
        if (signal.aborted) return
        this.#note(toError(error))
        if (!isOpen) this.#firstOpen.reject(toError(error))
        await clock.sleep(backoffMs(++attempt, random(), OPEN_BACKOFF), { signal }).catch(() => {})
        continue
      }
      attempt = 0
      isOpen = true
      this.#begin(state, lost)
      this.#firstOpen.resolve()
      const error = await waitOrAbort(lost.promise, signal).catch(() => undefined)
      if (error === undefined) return
      this.#note(error)
      this.#endSession(error)
      await this.sink
        .close(AbortSignal.timeout(SINK_CLOSE_MS))
        .catch((failed: unknown) => this.#note(toError(failed)))
    }
  }

  #begin(state: SinkState, lost: PromiseWithResolvers<Error>): void {
    const { context } = this.#options
    this.#sessions += 1
    this.#session = { lost, controller: new AbortController() }
    this.#loaded = state.cursor === undefined ? undefined : state.load
    this.lanes.begin(this.#loaded === undefined ? undefined : state.cursor)
    const cursor = state.cursor === undefined ? null : streamIdText(state.cursor)
    context.log.info(
      { cursor, load: this.#loaded ?? null, session: this.#sessions },
      `${context.name}: the lease is ours`,
    )
    this.#turn('active')
    if (this.#sessions === 1) {
      this.source.open({
        lanes: this.lanes.lanes.map(({ spec }) => spec.name),
        position: () =>
          this.#loaded === undefined && this.#progress === undefined
            ? undefined
            : this.lanes.positions.newest,
        receiver: this.#receiver(),
      })
    } else this.source.resume()
  }

  /** Lets go of what is in memory. The source stands still until the next session, and then connects anew. */
  #endSession(reason: Error): void {
    if (this.#session === undefined) return
    this.#session.controller.abort(reason)
    this.#session = undefined
    this.#loading?.abort(reason)
    this.#loading = undefined
    this.#progress = undefined
    this.#loaded = undefined
    this.#isLive = false
    this.lanes.reset(reason)
    this.source.pause()
    this.source.restart(reason.message)
  }

  #receiver(): Receiver {
    const { lanes } = this
    // Without a session nothing is taken: it comes again from the cursor of the next one.
    const laneOf = (name: string): Lane | undefined =>
      this.#session === undefined ? undefined : lanes.lane(name)
    const [first] = lanes.lanes
    return {
      message: (name, kind, id, json, data: EntityData | undefined, at) => {
        const lane = laneOf(name)
        if (lane === undefined) return
        lane.receive(kind, id, json, data, at, lanes.turn())
        lanes.check(lane)
      },
      reached: (at) => {
        if (this.#session === undefined) return
        lanes.positions.arrive(at)
        lanes.turn()
      },
      malformed: (text: string, reason: DeadReason, detail, name, at) => {
        const lane = laneOf(name ?? first?.spec.name ?? '')
        if (lane === undefined) return
        lane.bury(text, reason, detail, '', at, lanes.turn())
        lanes.check(lane)
      },
      live: (after, resumed) => this.#onLive(after, resumed),
      reload: (from, reason) => {
        if (this.#session === undefined) return
        this.#isLive = this.#wasLive = true
        this.#reloads += 1
        this.#onGap(from, reason)
      },
      disconnected: () => {
        this.#isLive = false
        this.#disconnects += 1
        this.#wake()
      },
    }
  }

  #onLive(after: StreamId, resumed: boolean): void {
    if (this.#session === undefined) return
    this.#isLive = this.#wasLive = true
    if (resumed && (this.#loaded !== undefined || this.#progress !== undefined)) {
      this.#wake()
      return
    }
    const reason =
      this.#loaded === undefined ? 'no complete load is stored' : 'the stream could not be resumed'
    this.#onGap(after, reason)
  }

  /** Messages were missed, so that a load is needed; what came before them is let go. */
  #onGap(from: StreamId, reason: string): void {
    // Before the lanes are reset, which would free what a load under way holds.
    this.#loading?.abort(new SluiceError('SLUICE_CANCELLED', 'another load begins'))
    this.lanes.gap(from, new SluiceError('SLUICE_CANCELLED', reason))
    this.#startLoad(from, reason)
  }

  #startLoad(from: StreamId | undefined, reason: string): void {
    const session = this.#session
    if (session === undefined || from === undefined) return
    const { context } = this.#options
    this.#loading?.abort(new SluiceError('SLUICE_CANCELLED', 'another load begins'))
    const loading = new AbortController()
    this.#loading = loading
    this.#loaded = undefined
    context.log.info({ reason, from: streamIdText(from) }, `${context.name}: a load begins`)
    const { signal } = loading
    const work = runLoad({
      context,
      lanes: this.lanes,
      sink: this.sink,
      loader: this.#loader,
      from,
      reason,
      signal,
      onProgress: (progress) => {
        if (signal.aborted) return
        this.#progress = progress
        this.#wake()
      },
    }).then(
      (result) => {
        if (signal.aborted) return
        this.#loading = undefined
        this.#progress = undefined
        this.#loaded = result.load
        this.#lastLoad = result
        const durationMs = Math.round(result.durationMs)
        context.log.info({ ...result, durationMs }, `${context.name}: the load is complete`)
        this.#wake()
      },
      (error: unknown) => {
        if (signal.aborted) return
        if (hasCode(error, 'SLUICE_LEASE_LOST')) session.lost.resolve(toError(error))
        else throw error
      },
    )
    this.#lifecycle.spawn('a load', work)
    this.#wake()
  }

  #onFull(lane: string): void {
    this.#pauses += 1
    this.source.pause()
    const left = this.#warnings.take()
    const { log, name } = this.#options.context
    if (left !== undefined && this.breaker.state.kind !== 'closed')
      log.warn({ lane }, `${name}: a lane is at its bound, so the source is paused`)
  }

  #onFailed(lane: string, error: Error): void {
    this.#note(error)
    const left = this.#warnings.take()
    const { log, name } = this.#options.context
    if (left !== undefined)
      log.warn({ err: error, lane, suppressed: left }, `${name}: a batch could not be stored; it is held`)
  }

  #onStored(slots: readonly Slot[], durationMs: number, now: number): void {
    this.#writes.observe(durationMs / 1_000)
    for (const slot of slots) this.#latency.observe((now - slot.receivedMs) / 1_000)
  }

  #onDead(lane: string, reason: string, detail: string): void {
    const left = this.#letters.take()
    const { log, name } = this.#options.context
    if (left !== undefined)
      log.warn({ lane, reason, detail, suppressed: left }, `${name}: a message cannot be applied`)
  }

  async #report(everyMs: number, signal: AbortSignal): Promise<void> {
    const { clock, log, name } = this.#options.context
    while (!signal.aborted) {
      await clock.sleep(everyMs, { signal, keepAlive: false }).catch(() => {})
      if (signal.aborted || this.#role !== 'active') continue
      const { batches, ...sums } = addUp(this.lanes.lanes.map(({ counters }) => counters))
      const { cursor, held, inFlight } = this.lanes
      log.info(
        {
          ...sums,
          batches,
          pending: held,
          inFlight,
          lagMs: Math.round(this.lagMs),
          cursor: cursor === undefined ? null : streamIdText(cursor),
          breaker: this.breaker.state.kind,
          ...this.facts,
        },
        `${name}: ${sums.processed} processed, ${sums.conflated} conflated, ${sums.dead} dead, ${sums.dropped} dropped`,
      )
    }
  }

  #note(error: Error): void {
    this.#lastError = error
    const { log, name } = this.#options.context
    const left = this.#warnings.take()
    if (left !== undefined) log.warn({ err: error, suppressed: left }, `${name}: ${error.message}`)
  }

  #turn(role: Role): void {
    this.#role = role
    this.#wake()
  }

  #wake(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers<void>()
  }
}

const LATENCY_BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]
