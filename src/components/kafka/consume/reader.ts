/**
 * Reads some topics as one member of a group for as long as it is not stopped: a member that fails is closed and built
 * anew, with back-off. What it held is given back by not being committed; what runs may end, and keeps its key until then.
 */
import { waitOrAbort } from '../../../core/abort.ts'
import { backoffMs } from '../../../core/backoff.ts'
import type { Clock, Timer } from '../../../core/clock.ts'
import { isSluiceError, toError } from '../../../core/errors.ts'
import { Lifecycle } from '../../../core/lifecycle.ts'
import type { Logger } from '../../../telemetry/log.ts'
import type { Operations } from '../../../telemetry/operate.ts'
import type { Clients } from '../client/clients.ts'
import type { RawMessage } from '../client/peer.ts'
import { Dispatcher } from './dispatcher.ts'
import { Member } from './member.ts'
import type { KafkaMessage } from './message.ts'
import type { Commit } from './tracker.ts'

export interface ReaderOptions {
  readonly component: string
  readonly group: string
  readonly topics: readonly string[]
  readonly from: 'beginning' | 'end'
  readonly instanceId: string | undefined
  readonly sessionTimeoutMs: number
  readonly concurrency: number
  readonly order: 'key' | 'partition'
  readonly maxBytes: number
  readonly commitMs: number
  readonly clients: Clients
  readonly operations: Operations
  readonly clock: Clock
  readonly random: () => number
  readonly log: Logger
  readonly attemptOf: (raw: RawMessage) => number
  readonly handle: (message: KafkaMessage) => Promise<void> | void
  /** Runs before a member joins: what must be there. Rejects to try again later. */
  readonly before: (signal: AbortSignal) => Promise<void>
}

const REBUILD_BACKOFF = { baseMs: 250, capMs: 10_000 } as const
/** A member that lived for this long was a good one: the next failure begins at the short back-off. */
const STABLE_MS = 30_000
const MAX_MESSAGES = 20_000
const COMMIT = { name: 'commit', idempotent: true }

export class Reader {
  readonly #options: ReaderOptions
  readonly #dispatcher: Dispatcher
  readonly #life: Lifecycle
  readonly #joined = Promise.withResolvers<void>()
  #member: Member | undefined
  #committing: Promise<void> | undefined
  #timer: Timer | undefined
  #pausedByUser = false
  rebuilds = 0

  constructor(options: ReaderOptions) {
    this.#options = options
    this.#dispatcher = new Dispatcher({
      concurrency: options.concurrency,
      order: options.order,
      maxBytes: options.maxBytes,
      maxMessages: MAX_MESSAGES,
      attemptOf: options.attemptOf,
      handle: options.handle,
      onFull: () => this.#applyPause(),
    })
    this.#life = new Lifecycle({
      name: `${options.component}: ${options.group}`,
      start: () => undefined,
      stop: () => undefined,
      onError: (error, what) => options.log.error({ error, what }, `${options.component}: reading failed`),
    })
    this.#joined.promise.catch(() => undefined)
  }

  /** Resolves when it has joined for the first time; rejects when it was stopped before. */
  get joined(): Promise<void> {
    return this.#joined.promise
  }

  inspect(): Readonly<Record<string, unknown>> {
    const { running, held, bytes, full, partitions } = this.#dispatcher
    return {
      partitions: partitions.length,
      running,
      held,
      bytes,
      full,
      rebuilds: this.rebuilds,
      joined: this.#member !== undefined,
    }
  }

  get partitions(): readonly { readonly topic: string; readonly partition: number }[] {
    return this.#dispatcher.partitions
  }

  async start(): Promise<void> {
    await this.#life.start()
    this.#life.spawn('read', this.#run(this.#life.signal))
    this.#commitLater()
  }

  pause(paused: boolean): void {
    this.#pausedByUser = paused
    this.#applyPause()
  }

  /** Puts the partitions that are ours where `target` says, and forgets what was received. */
  async seek(
    target: (partitions: readonly { topic: string; partition: number }[]) => Promise<readonly Commit[]>,
  ): Promise<void> {
    const member = this.#member
    if (member === undefined) return
    const commits = await target([...this.#dispatcher.partitions])
    await this.#committing
    this.#dispatcher.assign([], false)
    if (commits.length > 0) await member.commit(commits)
    await member.restart()
  }

  /** Takes nothing new; what waits is given back. */
  halt(): void {
    this.#dispatcher.halt()
    this.#applyPause()
  }

  /** Waits for what runs, commits, leaves the group. At the end of `signal` what still runs is told so by its own. */
  async stop(signal: AbortSignal): Promise<void> {
    this.halt()
    try {
      await waitOrAbort(this.#dispatcher.idle(), signal)
    } catch {
      this.#dispatcher.abort(signal.reason)
    }
    this.#timer?.cancel()
    // One that is under way says less than what has finished by now.
    const last = (this.#committing ?? Promise.resolve()).then(() => this.commit())
    await waitOrAbort(last, signal).catch(() => undefined)
    await this.#life.stop()
    this.#joined.reject(new Error('stopped before it had joined'))
  }

  /** Commits what is finished without a gap. */
  commit(): Promise<void> {
    this.#committing ??= this.#commit().finally(() => (this.#committing = undefined))
    return this.#committing
  }

  async #commit(): Promise<void> {
    const { operations, log, component } = this.#options
    const member = this.#member
    const commits = this.#dispatcher.commits()
    if (member === undefined || commits.length === 0) return
    try {
      await operations.run(COMMIT, () => member.commit(commits))
      this.#dispatcher.committed(commits)
    } catch (error) {
      // The next one says it again, or the next owner of the partition reads it again.
      log.debug({ error, group: this.#options.group }, `${component}: a commit failed`)
    }
  }

  #commitLater(): void {
    this.#timer = this.#options.clock.setTimer(
      () => {
        void this.commit().then(() => {
          if (!this.#life.signal.aborted) this.#commitLater()
        })
      },
      this.#options.commitMs,
      { keepAlive: false },
    )
  }

  #applyPause(): void {
    this.#member?.pause(this.#pausedByUser || this.#dispatcher.full || this.#life.signal.aborted)
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, random, log, component, group } = this.#options
    for (let failures = 0; !signal.aborted;) {
      const openedAt = clock.monotonic()
      const error = await this.#live(signal)
      if (signal.aborted) return
      failures = clock.monotonic() - openedAt > STABLE_MS ? 1 : failures + 1
      this.rebuilds += 1
      const code = isSluiceError(error) ? error.code : 'unknown'
      const level = failures === 1 || failures % 20 === 0 ? 'warn' : 'debug'
      log[level](
        { error, group, code, failures },
        `${component}: the consumer of "${group}" failed and is built anew`,
      )
      await clock
        .sleep(backoffMs(failures, 0.5 + random() / 2, REBUILD_BACKOFF), { signal, keepAlive: false })
        .catch(() => undefined)
    }
  }

  /** One member from its birth to its end; what ended it. */
  async #live(signal: AbortSignal): Promise<Error> {
    const { component, group, topics, from, instanceId, sessionTimeoutMs, maxBytes, clock, clients } =
      this.#options
    const failed = Promise.withResolvers<Error>()
    let member: Member | undefined
    try {
      await this.#options.before(signal)
      member = new Member({
        component,
        module: clients.module,
        settings: clients.settings,
        group,
        topics,
        from,
        instanceId,
        sessionTimeoutMs,
        maxBytes,
        clock,
        onMessage: (raw) => void this.#dispatcher.accept(raw),
        onAssigned: (places, keep) => this.#dispatcher.assign(places, keep),
        onRebalance: () => void this.commit(),
        onFailure: (error) => failed.resolve(error),
      })
      await member.open(signal)
      this.#member = member
      this.#applyPause()
      this.#joined.resolve()
      return await waitOrAbort(failed.promise, signal)
    } catch (error) {
      return toError(error)
    } finally {
      this.#member = undefined
      await member?.close()
      // Only now: until it has left, its partitions are nobody else's.
      this.#dispatcher.assign([], false)
    }
  }
}
