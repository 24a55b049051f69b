/**
 * The clients of the driver: one that produces, one that asks. Each is made at its first use and replaced when it went
 * bad: after a request that was not answered in time the driver keeps the connection, on which a broker that is cut off
 * will never answer anything. Consumers have clients of their own.
 */
import { waitOrAbort } from '../../../core/abort.ts'
import type { Clock, Timer } from '../../../core/clock.ts'
import { hasCode, SluiceError } from '../../../core/errors.ts'
import { driverError, isStale } from './errors.ts'
import { guardConnections } from './guard.ts'
import type { KafkaModule } from './peer.ts'
import type { ClientSettings } from './settings.ts'

export type Producer = InstanceType<KafkaModule['Producer']>
export type Admin = InstanceType<KafkaModule['Admin']>

export interface ClientsOptions {
  readonly component: string
  readonly clock: Clock
  readonly idempotent: boolean
  /** Milliseconds; 0 for never. */
  readonly idleMs: number
}

/** A client that went bad is not waited for: its sockets are destroyed, and this is how long that may take. */
const CLOSE_LIMIT_MS = 2_000

export class Clients {
  readonly #options: ClientsOptions
  #opened: { readonly module: KafkaModule; readonly settings: ClientSettings } | undefined
  #producer: Producer | undefined
  #admin: Admin | undefined
  readonly #closing = new Set<Promise<void>>()
  #producing = 0
  #usedAt = 0
  #idleTimer: Timer | undefined
  #replaced = 0
  #unguard: (() => void) | undefined

  constructor(options: ClientsOptions) {
    this.#options = options
  }

  get replaced(): number {
    return this.#replaced
  }

  get module(): KafkaModule {
    return this.#use().module
  }

  get settings(): ClientSettings {
    return this.#use().settings
  }

  /** Resolves when the cluster has answered. Leaves nothing open when it rejects. */
  async open(module: KafkaModule, settings: ClientSettings, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    this.#opened = { module, settings }
    this.#unguard ??= guardConnections(module)
    try {
      await this.ask(signal, async (admin) => {
        await admin.metadata({ topics: [], forceUpdate: true, retries: 0 })
      })
    } catch (error) {
      await this.close()
      throw error
    }
  }

  /** Runs a question to the cluster. Its late answer is ignored. */
  async ask<T>(signal: AbortSignal | undefined, question: (admin: Admin) => Promise<T>): Promise<T> {
    const { module, settings } = this.#use()
    const admin = (this.#admin ??= quiet(
      new module.Admin({ ...settings, clientId: `${settings.clientId}-admin` }),
    ))
    try {
      return await waitOrAbort(question(admin), signal)
    } catch (error) {
      if (this.#admin === admin && (isStale(error) || isDeadline(signal))) {
        this.#admin = undefined
        this.#replaced += 1
        this.#end(() => admin.close())
      }
      if (signal?.aborted === true) throw error
      throw driverError(error, this.#options.component)
    }
  }

  /** Runs one produce request. Throws what the driver throws: what it means is for the sender to say. */
  async produce<T>(
    signal: AbortSignal,
    request: (producer: Producer, module: KafkaModule) => Promise<T>,
  ): Promise<T> {
    const { module, settings } = this.#use()
    const { idempotent, clock } = this.#options
    const producer = (this.#producer ??= quiet(
      new module.Producer({
        ...settings,
        clientId: `${settings.clientId}-producer`,
        idempotent,
        // Without sequence numbers the driver's own repetitions would store twice what is stored; the sender repeats.
        retries: idempotent ? settings.retries : 0,
        repeatOnStaleMetadata: idempotent,
      }),
    ))
    this.#producing += 1
    try {
      return await waitOrAbort(request(producer, module), signal)
    } catch (error) {
      // After an indefinite error nobody knows which sequence number the broker expects: a new producer has a new one.
      if (this.#producer === producer && (isStale(error) || isDeadline(signal) || idempotent)) {
        this.#producer = undefined
        this.#replaced += 1
        this.#end(() => producer.close(true))
      }
      throw error
    } finally {
      this.#producing -= 1
      this.#usedAt = clock.monotonic()
      this.#watchIdle()
    }
  }

  async close(): Promise<void> {
    this.#opened = undefined
    this.#unguard?.()
    this.#unguard = undefined
    this.#idleTimer?.cancel()
    this.#idleTimer = undefined
    const [producer, admin] = [this.#producer, this.#admin]
    this.#producer = undefined
    this.#admin = undefined
    if (producer !== undefined) this.#end(() => producer.close(true))
    if (admin !== undefined) this.#end(() => admin.close())
    await Promise.all(this.#closing)
  }

  #use(): { readonly module: KafkaModule; readonly settings: ClientSettings } {
    if (this.#opened !== undefined) return this.#opened
    throw new SluiceError('SLUICE_CLOSED', `${this.#options.component} is not open`)
  }

  #end(close: () => Promise<void>): void {
    const ending = closeWithin(close, CLOSE_LIMIT_MS, this.#options.clock).then(
      () => void this.#closing.delete(ending),
    )
    this.#closing.add(ending)
  }

  #watchIdle(): void {
    const { idleMs, clock } = this.#options
    if (idleMs === 0 || this.#idleTimer !== undefined || this.#opened === undefined) return
    this.#idleTimer = clock.setTimer(
      () => {
        this.#idleTimer = undefined
        const isIdle = this.#producing === 0 && clock.monotonic() - this.#usedAt >= idleMs
        const producer = this.#producer
        if (!isIdle) this.#watchIdle()
        else if (producer !== undefined) {
          this.#producer = undefined
          this.#end(() => producer.close(true))
        }
      },
      idleMs,
      { keepAlive: false },
    )
  }
}

/** Each failure reaches the call that it belongs to; as an event without a listener it would end the process. */
export function quiet<C extends { on(event: 'error', listener: (error: Error) => void): unknown }>(
  client: C,
): C {
  client.on('error', () => undefined)
  return client
}

/** Closes a client, and goes on when it takes longer: what it has open is destroyed, so that only its answer is missing. */
export async function closeWithin(close: () => Promise<void>, limitMs: number, clock: Clock): Promise<void> {
  const over = new AbortController()
  const limit = clock.sleep(limitMs, { signal: over.signal }).catch(() => undefined)
  await Promise.race([close().catch(() => undefined), limit])
  over.abort()
}

function isDeadline(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true && hasCode(signal.reason, 'SLUICE_TIMEOUT')
}
