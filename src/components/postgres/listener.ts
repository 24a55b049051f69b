/**
 * LISTEN on one connection for all channels of a database.
 *
 *     idle ──first channel──▶ connecting ──▶ listening ──lost, or the self-test fails──▶ waiting ──▶ connecting …
 *                                                └──last channel closed, or stop──▶ idle
 *
 * - A connection cut without a word (a router's table, a cable) looks alive for hours: every 10 seconds the listener
 *   sends a notification to itself and must hear it within 5. That also finds a pooler that does not keep sessions.
 * - After each reconnect every channel is listened to again, and each handler is told of the gap: notifications are a
 *   hint, the table is the truth.
 * - Reconnects for ever, with jitter, up to 5 seconds apart, until the last channel is closed.
 */
import { randomUUID } from 'node:crypto'
import { deriveController, waitOrAbort } from '../../core/abort.ts'
import type { Clock } from '../../core/clock.ts'
import { SluiceError, toError } from '../../core/errors.ts'
import type { Logger } from '../../telemetry/log.ts'
import type { Listening, Notification } from './api.ts'
import { callAlone } from './callback.ts'
import type { Connection, ConnectionSettings } from './connection.ts'
import { quoteName } from './identifier.ts'
import { openConnection } from './open-connection.ts'
import { Request } from './request.ts'
import { describe } from './statement.ts'

type Handler = (notification: Notification) => unknown

/** One connection that listens. */
interface Session {
  readonly connection: Connection
  /** The answer to LISTEN of each channel that was asked for on it. */
  readonly asked: Map<string, Promise<unknown>>
  /** Aborts when the connection is lost and when the loop ends. */
  readonly gone: AbortSignal
  heard: (() => void) | undefined
}

const TEST_EVERY_MS = 10_000
const TEST_LIMIT_MS = 5_000
const RETRY_BASE_MS = 100
const RETRY_CAP_MS = 5_000

export interface ListenerHost {
  readonly component: string
  readonly clock: Clock
  readonly log: Logger
  readonly random: () => number
}

export class Listener {
  readonly #host: ListenerHost
  readonly #settings: ConnectionSettings
  readonly #handlers = new Map<string, Set<Handler>>()
  readonly #selfChannel = `sluice_${randomUUID()}`
  #controller = new AbortController()
  #loop: Promise<void> | undefined
  #session: Session | undefined
  #first: PromiseWithResolvers<void> | undefined
  #stopped = false
  /** Times that the connection had to be made anew. */
  reconnects = 0

  constructor(host: ListenerHost, settings: ConnectionSettings) {
    this.#host = host
    this.#settings = settings
  }

  get channels(): number {
    return this.#handlers.size
  }

  async listen(channel: string, handler: Handler): Promise<Listening> {
    const name = quoteName(channel, 'channel')
    if (this.#stopped) throw this.#closedError()
    const handlers = this.#handlers.get(channel)
    if (handlers !== undefined) handlers.add(handler)
    else this.#handlers.set(channel, new Set([handler]))
    const close = (): Promise<void> => this.#unlisten(channel, name, handler)
    try {
      if (this.#session !== undefined) await this.#ask(this.#session, channel)
      else {
        this.#loop ??= this.#run(this.#controller.signal)
        this.#first ??= Promise.withResolvers<void>()
        await this.#first.promise
      }
    } catch (error) {
      await close()
      throw error
    }
    return { close, [Symbol.asyncDispose]: close }
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#handlers.clear()
    await this.#end()
  }

  async #unlisten(channel: string, name: string, handler: Handler): Promise<void> {
    const handlers = this.#handlers.get(channel)
    if (handlers?.delete(handler) !== true || handlers.size > 0) return
    this.#handlers.delete(channel)
    if (this.#handlers.size === 0) await this.#end()
    else if (this.#session !== undefined) {
      this.#session.asked.delete(channel)
      // A lost connection listens to nothing, so a failure here is as good as success.
      await this.#send(this.#session.connection, `unlisten ${name}`).catch(() => {})
    }
  }

  /** Leaves nothing behind that a loop begun right after it could stumble over. */
  async #end(): Promise<void> {
    const error = this.#closedError()
    const controller = this.#controller
    const loop = this.#loop
    const first = this.#first
    this.#session = undefined
    this.#loop = undefined
    this.#first = undefined
    this.#controller = new AbortController()
    controller.abort(error)
    first?.promise.catch(() => {})
    first?.reject(error)
    await loop
  }

  async #run(signal: AbortSignal): Promise<void> {
    let failures = 0
    let before = false
    while (!signal.aborted) {
      const { controller, release } = deriveController(signal)
      let session: Session | undefined
      try {
        session = await this.#connect(controller)
        signal.throwIfAborted()
        // From here on listen() asks for itself.
        this.#session = session
        await this.#askForAll(session)
        signal.throwIfAborted()
        failures = 0
        this.#first?.resolve()
        this.#first = undefined
        if (before) this.#tellGap()
        before = true
        await this.#watch(session)
      } catch (error) {
        if (signal.aborted) return
        failures++
        // The first one is told; behind it only every tenth, for a server that stays away.
        if (failures % 10 === 1) this.#host.log.warn({ err: toError(error) }, 'listening was interrupted')
        if (!before) this.#rejectFirst(error)
      } finally {
        release()
        if (session !== undefined && this.#session === session) this.#session = undefined
        session?.connection.destroy(undefined)
      }
      if (signal.aborted) return
      this.reconnects++
      const most = Math.min(RETRY_CAP_MS, RETRY_BASE_MS * 2 ** Math.min(failures, 10))
      await this.#host.clock
        .sleep(most / 2 + (this.#host.random() * most) / 2, { signal, keepAlive: false })
        .catch(() => {})
    }
  }

  /** `controller` is aborted when the connection is lost. */
  async #connect(controller: AbortController): Promise<Session> {
    const gone = controller.signal
    const owner = {
      settled: () => {},
      returned: (request: Request, error: SluiceError) => request.fail(error),
      closed: (_: Connection, error: SluiceError | undefined) =>
        controller.abort(error ?? this.#deaf('was closed')),
    }
    const connection = await openConnection(this.#settings, owner, gone)
    connection.leased = true
    const session: Session = { connection, asked: new Map(), gone, heard: undefined }
    try {
      connection.client.on('notification', (message: { channel: string; payload?: string }) =>
        this.#receive(session, message.channel, message.payload ?? ''),
      )
      await Promise.all([this.#ask(session, this.#selfChannel), this.#askForAll(session)])
      await this.#selfTest(session)
      return session
    } catch (error) {
      connection.destroy(undefined)
      throw error
    }
  }

  async #askForAll(session: Session): Promise<void> {
    await Promise.all(Array.from(this.#handlers.keys(), (channel) => this.#ask(session, channel)))
  }

  /** Resolves when the server listens to `channel` for us. Sends LISTEN once, however many wait for it. */
  #ask(session: Session, channel: string): Promise<void> {
    let answer = session.asked.get(channel)
    if (answer === undefined) {
      answer = this.#send(session.connection, `listen ${quoteName(channel, 'channel')}`)
      session.asked.set(channel, answer)
      const asked = answer
      answer.catch(() => {
        if (session.asked.get(channel) === asked) session.asked.delete(channel)
      })
    }
    return waitOrAbort(
      answer.then(() => {}),
      session.gone,
    )
  }

  /** Returns never; rejects when the connection is lost or deaf. */
  async #watch(session: Session): Promise<never> {
    for (;;) {
      await this.#host.clock.sleep(TEST_EVERY_MS, { signal: session.gone, keepAlive: false })
      await this.#selfTest(session)
    }
  }

  async #selfTest(session: Session): Promise<void> {
    const heard = Promise.withResolvers<void>()
    session.heard = heard.resolve
    const limit = this.#host.clock.setTimer(
      () => heard.reject(this.#deaf('did not deliver a notification to itself')),
      TEST_LIMIT_MS,
      { keepAlive: false },
    )
    try {
      const sent = this.#send(session.connection, `notify ${quoteName(this.#selfChannel, 'channel')}`)
      await waitOrAbort(Promise.all([sent, heard.promise]), session.gone)
    } finally {
      limit.cancel()
      session.heard = undefined
    }
  }

  #receive(session: Session, channel: string, payload: string): void {
    if (channel === this.#selfChannel) session.heard?.()
    else this.#tell(channel, { channel, payload, gap: false })
  }

  #tellGap(): void {
    for (const channel of this.#handlers.keys()) {
      this.#tell(channel, { channel, payload: '', gap: true })
    }
  }

  #tell(channel: string, notification: Notification): void {
    for (const handler of this.#handlers.get(channel) ?? []) {
      callAlone(
        () => handler(notification),
        (err) => this.#host.log.error({ err, channel }, 'a handler of notifications failed'),
      )
    }
  }

  #send(connection: Connection, sql: string): Promise<unknown> {
    const request = new Request(describe(sql), undefined, { repeatable: true, script: true })
    if (connection.isClosed) return Promise.reject(this.#deaf('was closed'))
    connection.send(request, TEST_LIMIT_MS, this.#host.clock.monotonic())
    return request.promise
  }

  #rejectFirst(error: unknown): void {
    const first = this.#first
    this.#first = undefined
    first?.reject(error)
  }

  #deaf(what: string): SluiceError {
    const { component } = this.#host
    return new SluiceError('SLUICE_UNAVAILABLE', `${component}: the connection that listens ${what}`, {
      component,
      retryable: true,
      hint: 'Behind a pooler, LISTEN needs a connection that keeps its session.',
    })
  }

  #closedError(): SluiceError {
    const { component } = this.#host
    return new SluiceError('SLUICE_CLOSED', `${component}: the listener is closed`, { component })
  }
}
