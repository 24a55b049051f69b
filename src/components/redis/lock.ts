/**
 * A lock that several processes take in turn.
 *
 * It is a lease: the server ends it when the holder does not renew it in time, so a crashed holder blocks nobody for
 * long, and a holder that was frozen may wake up after its time. Two things guard against that: the handle's `signal`
 * aborts when the lease has run out by the holder's own monotonic clock, and the `token` grows with every taking, so
 * that what the lock protects can refuse a late writer that comes with an older token. One server holds the lock:
 * a failover to a replica that had not seen it gives it out twice, and only the token tells.
 */
import { randomUUID } from 'node:crypto'
import { AsyncResult } from '../../core/async-result.ts'
import type { Timer } from '../../core/clock.ts'
import { durationMs, type Duration } from '../../core/duration.ts'
import { hasCode, SluiceError, toError } from '../../core/errors.ts'
import type { Reply } from './backend.ts'
import { asBoolean, defineOperation, ttlMs } from './commands/command.ts'
import type { Invoker } from './invoke.ts'
import { ACQUIRE_LOCK, RELEASE_LOCK, RENEW_LOCK } from './scripts/lock.ts'

export interface LockOptions {
  /** The server ends the lock when it was not renewed for this long. @default '10s' */
  readonly ttl?: Duration
  /** How long to wait for a lock that another holds. @default 0, not at all */
  readonly wait?: Duration
  /** Renew it in the background, three times in its time to live. @default true */
  readonly renew?: boolean
  /** Ends the wait. */
  readonly signal?: AbortSignal
}

export interface Lock extends AsyncDisposable {
  readonly key: string
  /** Greater than the token of whoever held it before. Hand it to what the lock protects. */
  readonly token: number
  /** Aborts with SLUICE_LOCK_LOST when the lock is lost. */
  readonly signal: AbortSignal
  /** Begins a new time to live. Rejects with SLUICE_LOCK_LOST when another has it. */
  renew(): Promise<void>
  /** Gives it back. False when it was lost before. */
  release(): Promise<boolean>
}

const ACQUIRE = defineOperation('lock', true)
const RENEW = defineOperation('lock.renew', true)
const RELEASE = defineOperation('lock.release', true)

const POLL_MIN_MS = 20
const POLL_MAX_MS = 250
/** The last token of all locks, in one key: the store holds one number, not one for each lock that ever was. */
const FENCE_KEY = 'lock-fence'

/** Takes the lock. Rejects with SLUICE_CONFLICT, retryable, when another holds it for longer than `wait`. */
export function acquireLock(invoker: Invoker, key: string, options: LockOptions = {}): AsyncResult<Lock> {
  return AsyncResult.start(`${invoker.name}.lock`, ({ signal }) => take(invoker, key, options, signal), {
    signal: options.signal,
    // Taken in the very turn in which its caller gave up: nobody else has the handle, and it would renew itself for ever.
    discard: (lock) => void lock.release().catch(() => undefined),
  })
}

async function take(invoker: Invoker, key: string, options: LockOptions, signal: AbortSignal): Promise<Lock> {
  const { clock } = invoker
  const ttl = ttlMs(options.ttl ?? '10s', 'lock ttl')
  const giveUpAt = clock.monotonic() + durationMs(options.wait ?? 0, 'lock wait')
  const owner = randomUUID()
  const keys = [lockKey(invoker, key), invoker.key(FENCE_KEY)]
  const acquire = { spec: ACQUIRE, script: ACQUIRE_LOCK, keys, args: [owner, String(ttl)], parse: asIs }
  for (;;) {
    const askedAt = clock.monotonic()
    let reply: Reply
    try {
      reply = await invoker.runScript(acquire, { signal })
      signal.throwIfAborted()
    } catch (error) {
      // It may be ours all the same: the reply was lost, or the caller gave up meanwhile. Nobody else would release it.
      void release(invoker, key, owner).catch(() => undefined)
      throw error
    }
    if (typeof reply === 'string') {
      return new HeldLock(invoker, {
        key,
        owner,
        ttlMs: ttl,
        token: Number(reply),
        renews: options.renew ?? true,
        askedAt,
      })
    }
    const leftMs = Number((reply as readonly unknown[])[0])
    const untilGiveUp = giveUpAt - clock.monotonic()
    if (untilGiveUp <= 0) throw heldByAnother(invoker.name, key, leftMs)
    const poll = Math.min(POLL_MAX_MS, Math.max(POLL_MIN_MS, leftMs)) * (0.5 + invoker.random() / 2)
    await clock.sleep(Math.min(untilGiveUp, poll), { signal })
  }
}

/** Runs `fn` while holding the lock. Rejects with SLUICE_LOCK_LOST when it was lost before `fn` was done. */
export function withLock<T>(
  invoker: Invoker,
  key: string,
  options: LockOptions,
  fn: (lock: Lock) => Promise<T> | T,
): AsyncResult<Awaited<T>> {
  return AsyncResult.start(
    `${invoker.name}.withLock`,
    async ({ signal }) => {
      const lock = await acquireLock(invoker, key, { ...options, signal })
      try {
        const value = await fn(lock)
        lock.signal.throwIfAborted()
        return value
      } finally {
        await lock.release().catch((error: unknown) => {
          invoker.log.warn(
            { err: toError(error), key },
            `${invoker.name}: a lock could not be released and will run out`,
          )
        })
      }
    },
    { signal: options.signal },
  )
}

interface Holding {
  readonly key: string
  readonly owner: string
  readonly token: number
  readonly ttlMs: number
  readonly renews: boolean
  /** Monotonic time before the request that took it. */
  readonly askedAt: number
}

class HeldLock implements Lock {
  readonly #invoker: Invoker
  readonly #holding: Holding
  readonly #controller = new AbortController()
  #state: 'held' | 'lost' | 'released' = 'held'
  #expiry: Timer | undefined
  #renewal: Timer | undefined
  #releasing: Promise<boolean> | undefined

  constructor(invoker: Invoker, holding: Holding) {
    this.#invoker = invoker
    this.#holding = holding
    this.#expireAfter(holding.askedAt)
    if (holding.renews) this.#renewLater()
  }

  get key(): string {
    return this.#holding.key
  }

  get token(): number {
    return this.#holding.token
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  async renew(): Promise<void> {
    if (this.#state === 'released') throw this.#lostError('it was released')
    this.signal.throwIfAborted()
    const askedAt = this.#invoker.clock.monotonic()
    const renewal = {
      spec: RENEW,
      script: RENEW_LOCK,
      keys: [lockKey(this.#invoker, this.key)],
      args: [this.#holding.owner, String(this.#holding.ttlMs)],
      parse: asBoolean,
    }
    // One frozen reply must leave time for the next try.
    const isOurs = await this.#invoker.runScript(renewal, { timeout: this.#holding.ttlMs / 3 })
    if (!isOurs) this.#lose('another holds it, or it ran out')
    if (this.#state === 'held') this.#expireAfter(askedAt)
    this.signal.throwIfAborted()
  }

  release(): Promise<boolean> {
    this.#releasing ??= this.#release()
    return this.#releasing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release()
  }

  async #release(): Promise<boolean> {
    const wasHeld = this.#state === 'held'
    if (wasHeld) this.#state = 'released'
    this.#expiry?.cancel()
    this.#renewal?.cancel()
    const deleted = await release(this.#invoker, this.key, this.#holding.owner)
    return deleted && wasHeld
  }

  /** Counted from before the request: the server's own time began later, so ours ends first. */
  #expireAfter(askedAt: number): void {
    const { clock } = this.#invoker
    this.#expiry?.cancel()
    this.#expiry = clock.setTimer(
      () => this.#lose('it was not renewed in time'),
      Math.max(0, askedAt + this.#holding.ttlMs - clock.monotonic()),
      { keepAlive: false },
    )
  }

  #renewLater(): void {
    this.#renewal = this.#invoker.clock.setTimer(
      () => {
        this.renew().then(
          () => {
            if (this.#state === 'held') this.#renewLater()
          },
          (error: unknown) => {
            if (this.#state !== 'held' || hasCode(error, 'SLUICE_LOCK_LOST')) return
            this.#invoker.log.warn(
              { err: toError(error), key: this.key },
              `${this.#invoker.name}: a lock could not be renewed`,
            )
            this.#renewLater()
          },
        )
      },
      this.#holding.ttlMs / 3,
      { keepAlive: false },
    )
  }

  #lose(reason: string): void {
    if (this.#state !== 'held') return
    this.#state = 'lost'
    this.#expiry?.cancel()
    this.#renewal?.cancel()
    this.#controller.abort(this.#lostError(reason))
  }

  #lostError(reason: string): SluiceError {
    return new SluiceError('SLUICE_LOCK_LOST', `${this.#invoker.name}: the lock was lost: ${reason}`, {
      component: this.#invoker.name,
      operation: 'lock',
      details: { key: this.key, token: this.token },
    })
  }
}

const lockKey = (invoker: Invoker, key: string): string => invoker.key(`lock:${key}`)

function release(invoker: Invoker, key: string, owner: string): AsyncResult<boolean> {
  return invoker.runScript({
    spec: RELEASE,
    script: RELEASE_LOCK,
    keys: [lockKey(invoker, key)],
    args: [owner],
    parse: asBoolean,
  })
}

const asIs = (reply: Reply): Reply => reply

function heldByAnother(component: string, key: string, leftMs: number): SluiceError {
  return new SluiceError('SLUICE_CONFLICT', `${component}: another holds the lock`, {
    retryable: true,
    operation: 'lock',
    details: { key, heldForMs: leftMs },
  })
}
