/**
 * Keeps the thread of the heart running, from the main thread: a thread that ends by itself is replaced after a pause,
 * and goes on with the row of the one before.
 */
import type * as Threads from 'node:worker_threads'
import { backoffMs } from '../../core/backoff.ts'
import type { Clock, Timer } from '../../core/clock.ts'
import { SluiceError, toError } from '../../core/errors.ts'
import type { Logger } from '../../telemetry/log.ts'
import { directSettings } from '../../components/postgres/direct.ts'
import type { EngineDatabase } from '../database.ts'
import type { FromHeart, HeartData, ToHeart } from './heart-messages.ts'

export interface HeartHostOptions {
  readonly db: EngineDatabase
  readonly clock: Clock
  readonly random: () => number
  readonly log: Logger
  readonly name: string
  readonly info: string
  readonly tables: string | undefined
  readonly channel: string | undefined
  /** The row that is to be kept alive, for a thread that takes the place of another. */
  readonly id: () => string | undefined
  readonly on: (message: FromHeart) => void
}

const RESTART = { baseMs: 200, capMs: 5_000 } as const
const LEAVE_LIMIT_MS = 2_000

export class HeartHost {
  readonly #options: HeartHostOptions
  readonly #lastBeat = new SharedArrayBuffer(8)
  #thread: Threads.Worker | undefined
  #restart: Timer | undefined
  #crashes = 0
  #left: ((done: boolean) => void) | undefined
  #stopped = false

  constructor(options: HeartHostOptions) {
    this.#options = options
  }

  /** Milliseconds since the last heartbeat that was answered was sent; undefined before the first. */
  get beatAgeMs(): number | undefined {
    const at = Atomics.load(new BigInt64Array(this.#lastBeat), 0)
    return at === 0n ? undefined : Number(process.hrtime.bigint() - at) / 1e6
  }

  start(): void {
    const { Worker }: typeof Threads = process.getBuiltinModule('node:worker_threads')
    const { db, name, info, tables, channel, id, on, log } = this.#options
    const data: HeartData = {
      settings: directSettings(db),
      name,
      info,
      tables,
      channel,
      id: id(),
      lastBeat: this.#lastBeat,
    }
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
    const thread = new Worker(new URL(`./heart-thread.${extension}`, import.meta.url), {
      workerData: data,
      name: 'sluice-heart',
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: 48, maxYoungGenerationSizeMb: 4 },
    })
    this.#thread = thread
    // It lives as long as the process has something to do, and no longer.
    thread.unref()
    thread.on('message', (message: FromHeart) => {
      if (this.#thread !== thread) return
      if (message.kind === 'left') this.#left?.(message.done)
      else {
        if (message.kind === 'registered') this.#crashes = 0
        if (message.kind === 'failing') this.#refresh(thread)
        on(message)
      }
    })
    thread.on('error', (error) => log.error({ err: error }, 'the thread of the heartbeat failed'))
    thread.on('exit', () => this.#onExit(thread))
  }

  /** Marks the row dead and ends the thread. False where the row could not be marked. */
  async stop(): Promise<boolean> {
    const thread = this.#thread
    this.#stopped = true
    this.#restart?.cancel()
    if (thread === undefined) return false
    const { clock } = this.#options
    const { promise, resolve } = Promise.withResolvers<boolean>()
    this.#left = resolve
    const timer = clock.setTimer(() => resolve(false), LEAVE_LIMIT_MS)
    this.#send(thread, { kind: 'leave' })
    const done = await promise
    timer.cancel()
    this.#thread = undefined
    await thread.terminate()
    return done
  }

  /** An embedded server that was started again may be elsewhere. */
  #refresh(thread: Threads.Worker): void {
    try {
      this.#send(thread, { kind: 'settings', settings: directSettings(this.#options.db) })
    } catch {
      // The component is not connected at this moment; the thread asks again at its next failure.
    }
  }

  #send(thread: Threads.Worker, message: ToHeart): void {
    thread.postMessage(message)
  }

  #onExit(thread: Threads.Worker): void {
    if (this.#thread !== thread) return
    this.#thread = undefined
    this.#left?.(false)
    if (this.#stopped) return
    const { clock, random } = this.#options
    const wait = RESTART.baseMs / 2 + backoffMs(++this.#crashes, random(), RESTART)
    this.#restart = clock.setTimer(() => this.#startAgain(), wait, { keepAlive: false })
  }

  #startAgain(): void {
    try {
      this.start()
    } catch (error) {
      this.#options.log.warn({ err: toError(error) }, 'the thread of the heartbeat cannot be started')
      const wait = backoffMs(++this.#crashes, 1, RESTART)
      this.#restart = this.#options.clock.setTimer(() => this.#startAgain(), wait, { keepAlive: false })
    }
  }
}

/** Why a lease ended. */
export function leaseLost(why: 'dead' | 'silence'): SluiceError {
  return new SluiceError(
    'SLUICE_LEASE_LOST',
    why === 'dead'
      ? 'this process was taken for dead, and its work given to others'
      : 'the database was not heard of for so long that others may have been given the work of this process',
  )
}
