/** What runs behind `audit()` once it is connected: the engine, the gathering of records, and the retention. */
import type { ComponentContext } from '../app/component.ts'
import type { Postgres } from '../components/postgres/api.ts'
import type { Timer } from '../core/clock.ts'
import { isSluiceError, toError } from '../core/errors.ts'
import { engineOf, releaseEngine, type Engine } from '../engine/engine.ts'
import { Batcher } from '../pool/batcher.ts'
import type { TaskCall } from '../pool/worker-pool.ts'
import type { Draft } from './draft.ts'
import type { AuditConfig } from './section.ts'
import { ALLOW_DELETE, DELETE_OLD } from './statements.ts'
import { writeDrafts } from './writer.ts'

const AGAIN_MS = 250
const RETENTION_EVERY_MS = 3_600_000
const DELETE_BATCH = 1_000
/** Time beyond its own limit for a write to say why it failed. */
const WRITE_SLACK_MS = 1_000

export class AuditRuntime {
  readonly #context: ComponentContext<AuditConfig>
  readonly engine: Engine
  readonly gathered: Batcher<Draft, string>
  readonly #stopping = new AbortController()
  #timer: Timer | undefined
  #chore: Promise<void> | undefined

  constructor(context: ComponentContext<AuditConfig>) {
    const { clock, random, log, metrics, appName, config, name } = context
    this.#context = context
    const db = context.required('postgres') as Postgres
    this.engine = engineOf({ db, clock, random, log, metrics, appName })
    this.gathered = new Batcher<Draft, string>({
      name: `${name}.record`,
      clock,
      write: (drafts, call) => this.#write(drafts, call),
      sizeOf: ({ bytes }) => bytes,
      maxItems: 500,
      maxDelay: '5ms',
      maxWaiting: config.maxWaiting,
      timeout: config.timeout + WRITE_SLACK_MS,
    })
  }

  async open(signal: AbortSignal): Promise<void> {
    try {
      await this.engine.open(signal)
      signal.throwIfAborted()
    } catch (error) {
      await releaseEngine(this.engine)
      throw error
    }
    if (this.#context.config.retention > 0) this.#deleteLater(0)
  }

  async close(limitMs: number): Promise<void> {
    this.#timer?.cancel()
    this.#stopping.abort()
    const results = await Promise.allSettled([this.gathered.close({ timeout: limitMs }), this.#chore])
    await releaseEngine(this.engine)
    for (const result of results) if (result.status === 'rejected') throw result.reason
  }

  /** Tries again while the database is away, for as long as a record may wait. What may have been written is known by its ticket. */
  async #write(drafts: readonly Draft[], call: TaskCall): Promise<readonly string[]> {
    const { clock, config } = this.#context
    const until = clock.monotonic() + config.timeout
    for (let again = false; ; again = true) {
      try {
        return await writeDrafts(this.engine.db, drafts, again)
      } catch (error) {
        const passes = isSluiceError(error) && (error.retryable || error.code === 'SLUICE_OUTCOME_UNKNOWN')
        if (!passes || call.signal.aborted || clock.monotonic() + AGAIN_MS >= until) throw error
        await clock.sleep(AGAIN_MS, { signal: call.signal })
      }
    }
  }

  #deleteLater(ms: number): void {
    if (this.#stopping.signal.aborted) return
    this.#timer = this.#context.clock.setTimer(() => {
      this.#chore = this.#deleteOld()
        .catch((error: unknown) =>
          this.#context.log.warn({ err: toError(error) }, 'old audit records could not be deleted'),
        )
        .then(() => this.#deleteLater(RETENTION_EVERY_MS))
    }, ms)
  }

  async #deleteOld(): Promise<void> {
    const { config, log } = this.#context
    const { signal } = this.#stopping
    let total = 0
    for (let deleted = DELETE_BATCH; deleted === DELETE_BATCH && !signal.aborted; total += deleted) {
      deleted = await this.engine.db.transaction(
        async (tx) => {
          await tx.query(ALLOW_DELETE)
          return tx.delete(DELETE_OLD, [config.retention, DELETE_BATCH])
        },
        { label: 'sluice.audit.retention', signal },
      )
    }
    if (total > 0) log.info({ records: total }, 'audit records past their retention were deleted')
  }
}
