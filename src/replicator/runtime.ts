/**
 * A replicator at work: sessions of the sink, the stream into the lanes, loads. One start, one stop.
 *
 * What the store says when a session begins decides where the stream goes on: after its cursor, where the data of a load is
 * there, else from now on, with a load. When the session is lost everything in memory is let go.
 *
 * Ready is: a session, the marker of a load, no load under way, a live stream since the start, and no change that waits
 * longer than `maxLagMs`. A disconnect leaves it as it is.
 */
import { waitOrAbort } from '../core/abort.ts'
import { SluiceError } from '../core/errors.ts'
import { Lifecycle } from '../core/lifecycle.ts'
import { Breaker } from '../policy/breaker.ts'
import type { Sink, SinkState, Source } from './contract.ts'
import { drainLanes } from './drain.ts'
import { Following } from './following.ts'
import { intake } from './intake.ts'
import { Journal } from './journal.ts'
import { Lanes } from './lanes/lanes.ts'
import type { LoadProgress, LoadResult } from './load.ts'
import { Loads } from './loads.ts'
import { observe } from './observe.ts'
import { Sessions, type Role } from './sessions.ts'
import { SINK_CLOSE_MS, type RuntimeOptions } from './settings.ts'
import { watchSink } from './sink-watch.ts'
import { streamIdText, type StreamId } from './stream-id.ts'

const READY_POLL_MS = 100

export class Runtime {
  readonly lanes: Lanes
  readonly sink: Sink
  readonly source: Source
  readonly breaker: Breaker
  readonly #loads: Loads
  readonly #following: Following
  readonly #options: RuntimeOptions
  readonly #lifecycle: Lifecycle
  readonly #journal: Journal
  readonly #takeDown: (() => void)[] = []
  readonly #sessions: Sessions
  #watching = false
  #pauses = 0
  #changed = Promise.withResolvers<void>()
  readonly #ending = new AbortController()

  constructor(options: RuntimeOptions) {
    this.#options = options
    const { context } = options
    const { clock, name } = context
    this.#journal = new Journal(context)
    this.sink = options.sink(context)
    this.source = options.source(context)
    this.breaker = new Breaker({
      name: `${name}: sink`,
      clock,
      consecutive: options.breakerThreshold,
      window: false,
      resetMs: options.breakerTimeoutMs,
      isFailure: () => true,
      onChange: (state) => {
        context.log.warn({ breaker: state.kind }, `${name}: the breaker of the sink is ${state.kind}`)
        if (state.kind === 'open') this.#watchSink()
      },
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
        full: (lane) => {
          this.#pauses += 1
          this.source.pause()
          this.#journal.full(lane, this.breaker.state.kind !== 'closed')
        },
        room: () => this.source.resume(),
        lost: (error) => this.#sessions.current?.lose(error),
        failed: (lane, error) => this.#journal.failed(lane, error),
        stored: (_lane, slots, durationMs, now) => this.#journal.stored(slots, durationMs, now),
        dead: (lane, letter) => this.#journal.dead(lane, letter),
        disorder: (lane, at) => this.#following.disorder(lane, at),
      },
    })
    this.#loads = new Loads({
      context,
      lanes: this.lanes,
      sink: this.sink,
      loader: options.loader?.(context),
      spawn: (what, work) => this.#lifecycle.spawn(what, work),
      onChange: () => this.#wake(),
    })
    this.#following = new Following({
      context,
      lanes: this.lanes,
      loads: this.#loads,
      session: () => this.#sessions.current,
      startLoad: (from, reason) => this.#startLoad(from, reason),
      onChange: () => this.#wake(),
    })
    this.#sessions = new Sessions({
      context,
      sink: this.sink,
      lanes: this.#laneNames,
      onBegin: (state) => this.#begin(state),
      onEnd: (reason) => this.#end(reason),
      onError: (error) => this.#journal.note(error),
      onChange: () => this.#wake(),
    })
    this.#lifecycle = new Lifecycle({
      name,
      start: (signal) => this.#start(signal),
      stop: () => this.#stop(),
      onError: (error, what) => context.log.error({ err: error }, `${name}: ${what} failed`),
    })
  }

  get #laneNames(): readonly string[] {
    return this.#options.context.lanes.map(({ name }) => name)
  }
  get role(): Role {
    return this.#sessions.role
  }
  get loaded(): string | undefined {
    return this.#loads.stored
  }
  get progress(): LoadProgress | undefined {
    return this.#loads.progress
  }
  get lastLoad(): LoadResult | undefined {
    return this.#loads.last
  }
  get lastError(): Error | undefined {
    return this.#journal.lastError
  }
  get isLive(): boolean {
    return this.#following.isLive
  }
  get facts() {
    return {
      sessions: this.#sessions.count,
      disconnects: this.#following.disconnects,
      reloads: this.#following.reloads,
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
    const { role } = this
    if (role !== 'active') return role === 'standby' ? 'another writer holds the lease' : role
    const { progress, stored } = this.#loads
    if (progress !== undefined) return `loading (${progress.phase}, ${progress.rows} rows)`
    if (stored === undefined) return 'no complete load is stored'
    if (!this.#following.wasLive) return 'the source is not connected yet'
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
    while (this.notReady !== undefined && this.role !== 'standby') {
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

  /** Stores what waits, and the cursor, as far as the sink takes it. */
  async drain(signal: AbortSignal): Promise<void> {
    if (this.role === 'active') await drainLanes(this.lanes, this.#options.context, signal)
  }

  stop(): Promise<void> {
    return this.#lifecycle.stop()
  }

  /** Begins a load, as if the source had asked for it. */
  reload(reason: string): void {
    if (this.#sessions.current === undefined)
      throw new SluiceError('SLUICE_NOT_READY', 'there is no session of the sink', { retryable: true })
    this.#startLoad(this.lanes.positions.newest, reason)
  }

  async #start(signal: AbortSignal): Promise<void> {
    const { context, reportMs } = this.#options
    this.#takeDown.push(observe(this, context))
    const ending = this.#ending.signal
    this.#lifecycle.spawn('the replicator', this.#sessions.run(ending))
    this.#lifecycle.spawn('the report', this.#journal.report(this, reportMs, ending))
    try {
      await waitOrAbort(this.#sessions.opened, signal)
    } catch (error) {
      await this.#stop()
      throw error
    }
  }

  async #stop(): Promise<void> {
    const limit = AbortSignal.timeout(SINK_CLOSE_MS)
    const reason = new SluiceError('SLUICE_SHUTDOWN', 'the replicator is stopping')
    this.#ending.abort(reason)
    await this.source.close(limit)
    this.#sessions.end(reason)
    this.lanes.close()
    await this.sink.close(limit).catch((error: unknown) => this.#journal.note(error))
    for (const takeDown of this.#takeDown.splice(0)) takeDown()
    this.#sessions.close()
  }

  #begin({ cursor, load }: SinkState): void {
    const { context } = this.#options
    const { count } = this.#sessions
    const stored = cursor === undefined ? undefined : load
    this.#loads.begin(stored)
    this.lanes.begin(stored === undefined ? undefined : cursor)
    context.log.info(
      { cursor: cursor === undefined ? null : streamIdText(cursor), load: stored ?? null, session: count },
      `${context.name}: the lease is ours`,
    )
    if (count > 1) this.source.resume()
    else this.#openSource()
  }

  #openSource(): void {
    this.source.open({
      lanes: this.#laneNames,
      position: () => (this.#loads.hasData ? this.lanes.positions.newest : undefined),
      receiver: intake({
        lanes: this.lanes,
        isOpen: () => this.#sessions.current !== undefined,
        live: (after, resumed) => this.#following.live(after, resumed),
        reload: (from, reason) => this.#following.reload(from, reason),
        disconnected: () => this.#following.disconnected(),
      }),
    })
  }

  /** Lets go of what is in memory. The source stands still until the next session, and then connects anew. */
  #end(reason: Error): void {
    this.#loads.end(reason)
    this.#following.isLive = false
    this.lanes.reset(reason)
    this.source.pause()
    this.source.restart(reason.message)
  }

  #startLoad(from: StreamId | undefined, reason: string): void {
    const session = this.#sessions.current
    if (session === undefined || from === undefined) return
    this.#loads.start(from, reason, session.lose)
  }

  #watchSink(): void {
    if (this.#watching || this.#ending.signal.aborted) return
    this.#watching = true
    const { clock, random } = this.#options.context
    const { sink, breaker, lanes } = this
    const watched = watchSink(
      {
        clock,
        random,
        breaker,
        check: (signal) => sink.check(signal),
        onBack: () => lanes.tryNow(),
        timeoutMs: this.#options.breakerTimeoutMs,
      },
      this.#ending.signal,
    ).finally(() => (this.#watching = false))
    this.#lifecycle.spawn('the watch of the sink', watched)
  }

  #wake(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers<void>()
  }
}
