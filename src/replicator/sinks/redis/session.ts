/**
 * One session of the sink: the leases of its lanes, renewed until it ends. The leases are taken in one order everywhere, so
 * that two writers who wait for each other's lanes cannot be.
 */
import { randomUUID } from 'node:crypto'
import { waitOrAbort } from '../../../core/abort.ts'
import type { Timer } from '../../../core/clock.ts'
import { SluiceError } from '../../../core/errors.ts'
import type { LaneSpec, OpenOptions, PartContext } from '../../contract.ts'
import type { ReplicaKeys } from './keys.ts'
import { Lease, type LaneState } from './lease.ts'
import type { Runner } from './runner.ts'

export interface SessionSettings {
  readonly runner: Runner
  readonly keys: ReplicaKeys
  readonly leaseMs: number
}

/** How soon a lease that another holds is asked for again, at most. */
const ASK_AGAIN_MS = 250

export class Session {
  readonly #context: PartContext
  readonly #settings: SessionSettings
  readonly #leases = new Map<string, Lease>()
  readonly #states: LaneState[] = []
  readonly #ended = new AbortController()
  #renewal: Timer | undefined

  constructor(context: PartContext, settings: SessionSettings) {
    this.#context = context
    this.#settings = settings
  }

  /** What was stored when the leases were taken. */
  get states(): readonly LaneState[] {
    return this.#states
  }

  get held(): readonly string[] {
    return [...this.#leases.keys()]
  }

  /** Takes the leases of these lanes. When it rejects, `end` gives back those that it took. */
  async take(lanes: readonly LaneSpec[], { onLost, onWaiting, signal }: OpenOptions): Promise<void> {
    const owner = `${this.#context.appName}:${process.pid}:${randomUUID()}`
    const { runner, keys, leaseMs } = this.#settings
    this.#renewLater()
    for (const lane of lanes.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      const lease = new Lease({
        runner,
        lane,
        base: keys.base(lane.name),
        owner,
        leaseMs,
        onLost: (error) => {
          if (this.#ended.signal.aborted) return
          this.#stop()
          onLost(error)
        },
      })
      try {
        this.#states.push(await this.#acquire(lease, onWaiting, signal))
      } catch (error) {
        // It may be ours without an answer, and a successor would wait for it.
        await lease.release().catch(() => undefined)
        throw error
      }
      this.#leases.set(lane.name, lease)
    }
    this.#ended.signal.throwIfAborted()
  }

  lease(lane: string): Lease {
    const lease = this.#leases.get(lane)
    if (lease !== undefined) return lease
    throw new SluiceError('SLUICE_INVALID_ARGUMENT', `lane: "${lane}" was not opened`)
  }

  async each(signal: AbortSignal, work: (lease: Lease) => Promise<unknown>): Promise<void> {
    await waitOrAbort(Promise.all([...this.#leases.values()].map(work)), signal)
  }

  /** Gives the leases back. Never rejects. */
  async end(): Promise<void> {
    this.#stop()
    await Promise.allSettled([...this.#leases.values()].map((lease) => lease.release()))
  }

  async #acquire(lease: Lease, onWaiting: () => void, signal: AbortSignal): Promise<LaneState> {
    const { clock, random } = this.#context
    for (;;) {
      const state = await waitOrAbort(lease.acquire(), signal)
      if (typeof state !== 'number') return state
      onWaiting()
      const wait = Math.min(Math.max(state, 10), ASK_AGAIN_MS) * (0.5 + random() / 2)
      await clock.sleep(wait, { signal })
    }
  }

  #renewLater(): void {
    this.#renewal = this.#context.clock.setTimer(
      () => {
        const renewals = [...this.#leases.values()].map((lease) => lease.run('renew', []))
        void Promise.allSettled(renewals).then(() => {
          if (!this.#ended.signal.aborted) this.#renewLater()
        })
      },
      this.#settings.leaseMs / 3,
      { keepAlive: false },
    )
  }

  #stop(): void {
    this.#ended.abort(new SluiceError('SLUICE_CLOSED', 'the session is over'))
    this.#renewal?.cancel()
  }
}
