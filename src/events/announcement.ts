/** What this process subscribes to, and where it stands, written down in its row of sluice.worker, where others look. */
import { toError } from '../core/errors.ts'
import type { EngineDatabase } from '../engine/database.ts'
import type { Engine } from '../engine/engine.ts'
import { announceReaders, type Announced } from '../engine/log/reads.ts'
import { isRefusal, refusalText } from '../engine/refusal.ts'
import type { Logger } from '../telemetry/log.ts'

export class Announcement {
  readonly #engine: Engine
  readonly #component: string
  readonly #log: Logger
  readonly #announced: () => Announced
  readonly #offLease: () => void
  #isStale = false
  #writing: Promise<void> | undefined

  constructor(engine: Engine, component: string, log: Logger, announced: () => Announced) {
    this.#engine = engine
    this.#component = component
    this.#log = log
    this.#announced = announced
    // The process has another row by now.
    this.#offLease = engine.worker.onLease(() => this.look(true))
  }

  /** Resolves when what there is now is written; without a row it is written as soon as there is one. */
  write(): Promise<void> {
    this.#isStale = true
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined
    })
    return this.#writing
  }

  /** It has changed, which has time until the next look. */
  change(): void {
    this.#isStale = true
  }

  /** Writes what could not be written before. */
  look(isStale = this.#isStale): void {
    if (!isStale) return
    this.write().catch((error: unknown) => {
      this.#log.debug({ err: toError(error) }, 'what this process subscribes to was not written down')
    })
  }

  async close(): Promise<void> {
    this.#offLease()
    await this.#writing?.catch(() => {})
  }

  async #write(): Promise<void> {
    // Those of one moment are written at once.
    await Promise.resolve()
    const { db, worker } = this.#engine
    while (this.#isStale && worker.lease !== undefined) {
      this.#isStale = false
      try {
        await this.#announce(db, worker.lease.id)
      } catch (error) {
        this.#isStale = true
        throw error
      }
    }
  }
  /** Where a text is refused, without the texts: others rely on the rest. */
  async #announce(db: EngineDatabase, worker: string): Promise<void> {
    const { reads, stands } = this.#announced()
    try {
      await announceReaders(db, worker, this.#component, { reads, stands })
    } catch (error) {
      if (!isRefusal(error) || stands.length === 0) throw error
      this.#log.error({ err: toError(error) }, 'the errors that shards stand in front of cannot be told')
      const text = refusalText('the error of a delivery', error)
      const told = stands.map((stand) => ({ ...stand, error: text }))
      await announceReaders(db, worker, this.#component, { reads, stands: told })
    }
  }
}
