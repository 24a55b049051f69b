/**
 * The stream over a WebSocket.
 *
 *     connect ──► subscribe each lane ──► subscribed by all ──► live ──► closed ──► back-off with jitter ──► connect
 *                                     └─► reload by one     ──► live, after the receiver was told
 *
 * It resumes after the position that it is told at each connect. While it is paused nothing is read, so that the other
 * side is slowed down by TCP; if it cuts the connection, the next one is made once there is room again.
 */
import { waitOrAbort } from '../../core/abort.ts'
import { backoffMs } from '../../core/backoff.ts'
import { durationMs, type Duration } from '../../core/duration.ts'
import { hasCode, invalidArgument, SluiceError, toError } from '../../core/errors.ts'
import { redactUrl } from '../../config/redact.ts'
import { loadPeer } from '../../app/peer.ts'
import { parseSize } from '../options.ts'
import type { PartContext, Source, SourceFactory, SourceOptions } from '../contract.ts'
import { isAfter, streamIdText, type StreamId } from '../stream-id.ts'
import { Connection, type WsModule } from './connection.ts'
import { frameReader, type Control, type FrameReader } from './frame.ts'

/** Options of `webSocketSource`. Durations are milliseconds or text such as `'5s'`. */
export interface WebSocketSourceOptions {
  /** `ws://` or `wss://`. */
  readonly url: string
  /** Sent in a header with the handshake. @default none */
  readonly apiKey?: string | undefined
  /** @default 'x-api-key' */
  readonly apiKeyHeader?: string
  /** Further headers of the handshake. @default none */
  readonly headers?: Readonly<Record<string, string>>
  /** Limit of the handshake, and of the answers to the subscriptions. @default '10s' */
  readonly connectTimeout?: Duration
  /** A ping goes out this often; two of them without a sign of life end the connection. @default '10s' */
  readonly pingInterval?: Duration
  /** Largest frame, in bytes or as text; a larger one ends the connection with code 1009. @default '1mb' */
  readonly maxPayload?: number | string
  /** Upper limit of the wait between attempts; it grows from 250 ms, and is a random share of that. @default '30s' */
  readonly maxBackoff?: Duration
}

const BACKOFF_BASE_MS = 250
const GOODBYE_MS = 1_000

/** A source over a WebSocket, of the protocol in the guide. Throws SLUICE_INVALID_ARGUMENT. */
export function webSocketSource(options: WebSocketSourceOptions): SourceFactory {
  const settings = checked(options)
  return (context) => new WebSocketSource(settings, context)
}

type Settings = ReturnType<typeof checked>

function checked(options: WebSocketSourceOptions) {
  const { url, apiKey, apiKeyHeader = 'x-api-key', headers = {} } = options
  if (!/^wss?:\/\//.test(url) || !URL.canParse(url)) {
    throw invalidArgument('source.url', "a URL that begins with 'ws://' or 'wss://'", redactUrl(String(url)))
  }
  return {
    url,
    shownUrl: redactUrl(url),
    headers: { ...headers, ...(apiKey === undefined ? {} : { [apiKeyHeader]: apiKey }) },
    connectTimeoutMs: durationMs(options.connectTimeout ?? '10s', 'source.connectTimeout'),
    pingIntervalMs: durationMs(options.pingInterval ?? '10s', 'source.pingInterval'),
    maxPayload: parseSize(options.maxPayload ?? '1mb', 'source.maxPayload'),
    maxBackoffMs: durationMs(options.maxBackoff ?? '30s', 'source.maxBackoff'),
  }
}

type State = 'idle' | 'connecting' | 'subscribing' | 'live' | 'waiting' | 'closed'

class WebSocketSource implements Source {
  readonly kind = 'websocket'
  readonly #settings: Settings
  readonly #context: PartContext
  readonly #closing = new AbortController()
  readonly #read: FrameReader
  #options: SourceOptions | undefined
  #connection: Connection | undefined
  #running: Promise<void> | undefined
  #state: State = 'idle'
  #paused = false
  #resumed = Promise.withResolvers<void>()
  #waiting: AbortController | undefined
  /** Lanes that have not answered yet. */
  #missing = new Set<string>()
  #answers: Control[] = []
  #subscribed = Promise.withResolvers<void>()
  #connects = 0
  #frames = 0
  #lastError: string | undefined

  constructor(settings: Settings, context: PartContext) {
    this.#settings = settings
    this.#context = context
    this.#read = frameReader(context.lanes)
  }

  open(options: SourceOptions): void {
    if (this.#running !== undefined || this.#closing.signal.aborted) return
    this.#options = options
    this.#running = this.#run(options, this.#closing.signal)
  }

  pause(): void {
    if (this.#paused) return
    this.#paused = true
    this.#resumed = Promise.withResolvers<void>()
    this.#connection?.pause()
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#resumed.resolve()
    this.#connection?.resume()
  }

  restart(reason: string): void {
    this.#connection?.terminate(reason)
    this.#waiting?.abort()
  }

  check(): Promise<void> {
    if (this.#state === 'live') return Promise.resolve()
    const why = this.#lastError === undefined ? '' : `: ${this.#lastError}`
    const message = `the source ${this.#settings.shownUrl} is not connected${why}`
    return Promise.reject(new SluiceError('SLUICE_UNAVAILABLE', message, { retryable: true }))
  }

  async close(signal: AbortSignal): Promise<void> {
    this.#closing.abort(new SluiceError('SLUICE_SHUTDOWN', 'the source is closing'))
    this.resume()
    await waitOrAbort(this.#running ?? Promise.resolve(), signal).catch(() => {
      this.#connection?.terminate('closed by us')
    })
    this.#state = 'closed'
  }

  inspect(): Readonly<Record<string, unknown>> {
    return {
      kind: this.kind,
      url: this.#settings.shownUrl,
      state: this.#state,
      paused: this.#paused,
      connects: this.#connects,
      frames: this.#frames,
      lastError: this.#lastError ?? null,
    }
  }

  async #run(options: SourceOptions, signal: AbortSignal): Promise<void> {
    const { clock, random, log, name } = this.#context
    let attempt = 0
    while (!signal.aborted) {
      // With no room there is nothing to connect for: it would only be paused at once.
      if (this.#paused) await this.#resumed.promise
      if (signal.aborted) return
      let wasLive = false
      let reason: string
      try {
        reason = await this.#connect(options, signal, () => (wasLive = true))
      } catch (error) {
        if (signal.aborted) return
        reason = toError(error).message
        // Nothing that time would heal.
        if (hasCode(error, 'SLUICE_MISSING_PEER')) log.error({ err: error }, `${name}: ${reason}`)
      }
      if (signal.aborted) return
      this.#lastError = reason
      this.#state = 'waiting'
      options.receiver.disconnected(reason)
      attempt = wasLive ? 1 : attempt + 1
      const ms = backoffMs(attempt, random(), { baseMs: BACKOFF_BASE_MS, capMs: this.#settings.maxBackoffMs })
      log.warn({ reason, retryInMs: Math.round(ms) }, `${name}: the source is disconnected`)
      const waiting = new AbortController()
      this.#waiting = waiting
      const both = AbortSignal.any([signal, waiting.signal])
      await clock.sleep(ms, { signal: both }).catch(() => {})
      this.#waiting = undefined
    }
  }

  /** One connection, from its handshake to its end. @returns why it ended */
  async #connect(options: SourceOptions, signal: AbortSignal, onLive: () => void): Promise<string> {
    const { clock, log, name } = this.#context
    this.#state = 'connecting'
    this.#connects += 1
    const ws: WsModule = await loadPeer('ws', 'replicator', () => import('ws'))
    this.#missing = new Set(options.lanes)
    this.#answers = []
    this.#subscribed = Promise.withResolvers<void>()
    const handler = { receiver: options.receiver, control: (control: Control) => this.#onControl(control) }
    // From the cursor it comes again, and is seen in the log instead of ending the process.
    const onDefect = (error: unknown): void => {
      log.error({ err: toError(error) }, `${name}: a frame could not be handled`)
      this.#connection?.terminate('a frame could not be handled')
    }
    const connection = await Connection.open(
      ws,
      {
        ...this.#settings,
        clock,
        onText: (bytes, from, to) => {
          try {
            if (!this.#read.entity(bytes, from, to, options.receiver)) return false
          } catch (error) {
            onDefect(error)
          }
          this.#frames += 1
          return true
        },
        onMessage: (bytes) => {
          this.#frames += 1
          try {
            this.#read.any(bytes, handler)
          } catch (error) {
            onDefect(error)
          }
        },
      },
      signal,
    )
    this.#connection = connection
    if (this.#paused) connection.pause()
    const timer = clock.setTimer(
      () =>
        connection.terminate(
          `the subscriptions were not answered within ${this.#settings.connectTimeoutMs} ms`,
        ),
      this.#settings.connectTimeoutMs,
    )
    try {
      this.#state = 'subscribing'
      const after = options.position()
      for (const lane of options.lanes) connection.send(subscription(lane, after))
      const live = await waitOrAbort(
        Promise.race([this.#subscribed.promise.then(() => true), connection.closed.then(() => false)]),
        signal,
      )
      timer.cancel()
      if (live) {
        this.#state = 'live'
        this.#lastError = undefined
        onLive()
        this.#tellLive(options)
      }
      return await waitOrAbort(connection.closed, signal)
    } finally {
      timer.cancel()
      this.#connection = undefined
      await connection.close(GOODBYE_MS)
    }
  }

  #onControl(control: Control): void {
    if (control.type === 'error') {
      this.#context.log.warn(
        { message: control.message },
        `${this.#context.name}: the source reports an error`,
      )
      return
    }
    if (this.#state === 'live') {
      // In the middle of the stream: the other side cannot go on from where it was.
      if (control.type === 'reload') this.#options?.receiver.reload(control.at, control.reason)
      return
    }
    this.#answers.push(control)
    if (control.lane === undefined) this.#missing.clear()
    else this.#missing.delete(control.lane)
    if (this.#missing.size === 0) this.#subscribed.resolve()
  }

  #tellLive({ receiver }: SourceOptions): void {
    let from: StreamId | undefined
    let reload: string | undefined
    let resumed = true
    for (const answer of this.#answers) {
      if (answer.type === 'error') continue
      if (from === undefined || isAfter(from, answer.at)) from = answer.at
      if (answer.type === 'reload') reload = answer.reason
      else if (!answer.resumed) resumed = false
    }
    if (from === undefined) return
    if (reload === undefined) receiver.live(from, resumed)
    else receiver.reload(from, reload)
  }
}

function subscription(lane: string, after: StreamId | undefined): string {
  return JSON.stringify({
    action: 'subscribe',
    entity_type: lane,
    ...(after === undefined ? {} : { after: streamIdText(after) }),
  })
}
