/**
 * The heart of a worker: one connection to the database that beats, holds the worker's lock and looks after workers that
 * died. It runs in a thread, so that a blocked event loop neither loses its lease nor keeps others from being freed.
 *
 *     connecting ──▶ registered, beating ──lost, refused, silent──▶ connecting (after a pause), for ever
 *                            │ the row was found dead, or nothing was heard for too long: lost, registered anew
 *                            └──leave──▶ over
 */
import { setTimeout as delay } from 'node:timers/promises'
import { directClient, type DirectSettings } from '../../components/postgres/direct.ts'
import type { DriverClient, DriverResult } from '../../components/postgres/driver.ts'
import { backoffMs } from '../../core/backoff.ts'
import { toError } from '../../core/errors.ts'
import type { FromHeart, HeartData } from './heart-messages.ts'
import * as sql from './liveness.ts'
import * as timing from './timing.ts'

const RETRY = { baseMs: 200, capMs: 2_000 } as const
/** Statements that free tasks, in one look. */
const MAX_FREE_ROUNDS = 20

const TIMES: sql.ReapTimes = {
  deadWithoutLockMs: timing.DEAD_WITHOUT_LOCK_MS,
  returnMs: timing.RETURN_MS,
  freeAfterCrashMs: timing.FREE_AFTER_CRASH_MS,
  freeAfterSilenceMs: timing.FREE_AFTER_SILENCE_MS,
}
const MARK_DEAD = sql.markDead(TIMES)
const SETTLE_DEAD = sql.settleDead(TIMES)
const SETTLE_LOTS = sql.settleLotsOfTheDead(TIMES)
const FREE_TASKS = sql.freeTasks(TIMES)

interface FreedTasks {
  readonly queue: number
  readonly freed: number
  readonly dead: number
}

export class Heart {
  readonly #data: HeartData
  readonly #tell: (message: FromHeart) => void
  readonly #lastBeat: BigInt64Array
  readonly #stopping = new AbortController()
  /** Rows that were given up without the database knowing. */
  readonly #abandoned = new Set<string>()
  settings: DirectSettings
  #id: string | undefined
  /** When the last heartbeat that was answered was sent. */
  #heardAt = performance.now()
  #client: DriverClient | undefined
  #hasLock = false
  #isPooled = false
  #connects = 0
  #announced: string | undefined

  constructor(data: HeartData, tell: (message: FromHeart) => void) {
    this.#data = data
    this.#tell = tell
    this.#lastBeat = new BigInt64Array(data.lastBeat)
    this.settings = data.settings
    this.#id = data.id
    this.#announced = data.id
  }

  /** Beats until `leave`. Never rejects. */
  async run(): Promise<void> {
    const watch = setInterval(() => this.#giveUpWhenSilent(), timing.BEAT_EVERY_MS / 2)
    let failures = 0
    while (!this.#stopping.signal.aborted) {
      try {
        const client = await this.#connect()
        await this.#beatOn(client, () => (failures = 0))
      } catch (error) {
        if (this.#stopping.signal.aborted) break
        failures++
        this.#tell({ kind: 'failing', failures, error: plain(error) })
      }
      this.#drop()
      await this.#sleep(RETRY.baseMs / 2 + backoffMs(failures, Math.random(), RETRY))
    }
    clearInterval(watch)
  }

  /** The row is dead from now on, so that others free at once what is still owned. Answers with `left`. */
  async leave(): Promise<void> {
    const client = this.#client
    const ids = [...this.#abandoned, ...(this.#id === undefined ? [] : [this.#id])]
    this.#id = undefined
    this.#stopping.abort()
    let done = ids.length === 0
    if (client !== undefined && !done) {
      try {
        for (const id of ids) await this.#ask(client, sql.LEAVE, [id, this.#data.tables])
        await new Promise<void>((resolve) => client.end(resolve))
        done = true
      } catch {
        // The main thread tries its own connections.
      }
    }
    this.#tell({ kind: 'left', done })
  }

  async #connect(): Promise<DriverClient> {
    const client = await directClient(this.settings)
    await new Promise<void>((resolve, reject) => {
      client.connect((error) => (error === null || error === undefined ? resolve() : reject(error)))
    }).catch((error: unknown) => {
      client.connection.stream.destroy()
      throw error
    })
    this.#client = client
    this.#connects++
    this.#hasLock = false
    const { pid } = (await this.#ask(client, 'select pg_backend_pid() as pid'))[0] as { pid: number }
    // A pooler answers with a number of its own, and may hand each statement to another session.
    this.#isPooled = client.processID !== pid
    if (!this.#isPooled) {
      await this.#ask(client, `set statement_timeout = ${timing.BEAT_LIMIT_MS}`)
      await this.#ask(client, `set lock_timeout = ${timing.BEAT_LIMIT_MS}`)
    }
    return client
  }

  async #beatOn(client: DriverClient, onBeat: () => void): Promise<never> {
    // Another that was cut off together with this one needs a while to come back.
    const reapFrom = performance.now() + (this.#connects > 1 ? timing.RETURN_MS : 0)
    let nextBeat = 0
    for (;;) {
      const startedAt = performance.now()
      for (const id of this.#abandoned) {
        await this.#ask(client, sql.LEAVE, [id, this.#data.tables])
        this.#abandoned.delete(id)
      }
      if (startedAt >= nextBeat || this.#id === undefined) {
        await this.#beat(client)
        onBeat()
        // Half a look early is in time, half a look late is not.
        nextBeat = startedAt + timing.BEAT_EVERY_MS - timing.LOOK_EVERY_MS / 2
      }
      if (startedAt >= reapFrom) await this.#reap(client)
      await this.#sleep(startedAt + timing.LOOK_EVERY_MS - performance.now())
      this.#stopping.signal.throwIfAborted()
    }
  }

  async #beat(client: DriverClient): Promise<void> {
    const sentAt = performance.now()
    const sentStamp = process.hrtime.bigint()
    const id = (this.#id ??= await this.#register(client))
    if (!this.#hasLock && !this.#isPooled) await this.#takeLock(client, id)
    const alive = await this.#ask(client, sql.BEAT, [id, this.#hasLock, this.#data.tables])
    // It was given up, or left, while the answer was on its way.
    if (this.#id !== id) return
    if (alive.length === 0) {
      this.#lose('dead')
      if (this.#hasLock) await this.#ask(client, 'select pg_advisory_unlock_all()')
      return this.#beat(client)
    }
    this.#heardAt = sentAt
    Atomics.store(this.#lastBeat, 0, sentStamp)
    if (this.#announced === id) return
    this.#announced = id
    this.#tell({ kind: 'registered', id, hasLock: this.#hasLock })
  }

  async #register(client: DriverClient): Promise<string> {
    this.#hasLock = false
    const [row] = await this.#ask(client, sql.REGISTER, [this.#data.name, this.#data.info, this.#data.tables])
    this.#stopping.signal.throwIfAborted()
    if (row === undefined) throw new Error('the tables of sluice were made anew since this process began')
    return (row as { id: string }).id
  }

  async #takeLock(client: DriverClient, id: string): Promise<void> {
    for (const isLast of [false, true]) {
      const [row] = await this.#ask(client, sql.TAKE_LOCK, [id])
      this.#hasLock = (row as { got: boolean }).got
      if (this.#hasLock || isLast) return
      // A session whose connection the network forgot holds it; without the lock only silence counts.
      await this.#ask(client, sql.END_OLD_SESSIONS, [id])
    }
  }

  async #reap(client: DriverClient): Promise<void> {
    const workers = (await this.#ask(client, MARK_DEAD, [this.#id ?? '0'])) as { id: string; name: string }[]
    if (workers.length > 0) this.#tell({ kind: 'buried', workers })
    const settled = (await this.#ask(client, SETTLE_DEAD)) as { topic: string }[]
    await this.#wake(
      client,
      settled.map(({ topic }) => topic),
      [],
    )
    for (let round = 0; round < MAX_FREE_ROUNDS; round++) {
      if ((await this.#ask(client, SETTLE_LOTS)).length < sql.SETTLE_BATCH) break
    }
    for (let round = 0; round < MAX_FREE_ROUNDS; round++) {
      const queues = (await this.#ask(client, FREE_TASKS)) as FreedTasks[]
      await this.#wake(
        client,
        queues.map(({ queue }) => `q${queue}`),
        queues,
      )
      if (queues.reduce((sum, { freed, dead }) => sum + freed + dead, 0) < sql.FREE_BATCH) return
    }
  }

  /** Tells the main thread directly, and other processes by a notification, even while the main thread is blocked. */
  async #wake(client: DriverClient, topics: readonly string[], queues: readonly FreedTasks[]): Promise<void> {
    if (topics.length === 0) return
    const count = (of: 'freed' | 'dead'): number => queues.reduce((sum, each) => sum + each[of], 0)
    this.#tell({ kind: 'freed', topics, freed: count('freed'), dead: count('dead') })
    const { channel } = this.#data
    if (channel === undefined) return
    const text = topics.join(',')
    await this.#ask(client, 'select pg_notify($1, $2)', [
      channel,
      `heart ${text.length > 7_000 ? '*' : text}`,
    ])
  }

  #lose(why: 'dead' | 'silence'): void {
    const id = this.#id
    if (id === undefined) return
    this.#id = undefined
    this.#heardAt = performance.now()
    if (why === 'silence') this.#abandoned.add(id)
    if (this.#announced === id) this.#tell({ kind: 'lost', id, why })
  }

  #giveUpWhenSilent(): void {
    if (this.#id === undefined || performance.now() - this.#heardAt <= timing.GIVE_UP_AFTER_MS) return
    this.#lose('silence')
    // With it goes the lock of the row.
    this.#client?.connection.stream.destroy()
  }

  async #ask(
    client: DriverClient,
    text: string,
    values: readonly unknown[] = [],
  ): Promise<readonly unknown[]> {
    const limit = setTimeout(() => {
      client.connection.stream.destroy(new Error(`no answer within ${timing.BEAT_LIMIT_MS} ms`))
    }, timing.BEAT_LIMIT_MS)
    try {
      const { rows } = (await client.query({ text, values })) as DriverResult
      return rows
    } finally {
      clearTimeout(limit)
    }
  }

  #drop(): void {
    // It leaves with it.
    if (this.#stopping.signal.aborted) return
    this.#client?.connection.stream.destroy()
    this.#client = undefined
    this.#hasLock = false
  }

  async #sleep(ms: number): Promise<void> {
    if (ms > 0) await delay(ms, undefined, { signal: this.#stopping.signal }).catch(() => {})
  }
}

/** Errors of drivers carry what cannot be cloned. */
function plain(error: unknown): Error {
  const { message, name } = toError(error)
  return Object.assign(new Error(message), { name })
}
