/** One connection of the WebSocket: opened, heard, asked for signs of life, paused, ended. */
import type * as Ws from 'ws'
import { onAbort } from '../../core/abort.ts'
import type { Clock, Timer } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'
import { dialer } from './dial.ts'

export type WsModule = Pick<typeof Ws, 'WebSocket'>

export interface ConnectionOptions {
  readonly url: string
  /** For errors and logs: without credentials. */
  readonly shownUrl: string
  readonly headers: Readonly<Record<string, string>>
  readonly connectTimeoutMs: number
  /** Two of these without a sign of life end the connection. */
  readonly pingIntervalMs: number
  readonly maxPayload: number
  readonly clock: Clock
  /**
   * A message, whose bytes are to be read at once. False where it is to come again by `onMessage`, in the order of all, and
   * checked to be UTF-8, which it is not here.
   */
  readonly onText: (bytes: Buffer, from: number, to: number) => boolean
  /** A message that came in another way, which was checked to be UTF-8; its bytes are to be read at once. */
  readonly onMessage: (bytes: Buffer) => void
}

export class Connection {
  readonly #socket: Ws.WebSocket
  readonly #options: ConnectionOptions
  readonly #closed = Promise.withResolvers<string>()
  #timer: Timer | undefined
  #heard = true
  #reason: string | undefined
  #isOpen = false

  constructor(socket: Ws.WebSocket, options: ConnectionOptions) {
    this.#socket = socket
    this.#options = options
  }

  /** Resolves when the handshake is done; rejects with SLUICE_AUTH, SLUICE_UNAVAILABLE, or the signal's reason. */
  static async open(ws: WsModule, options: ConnectionOptions, signal: AbortSignal): Promise<Connection> {
    signal.throwIfAborted()
    let reader: Connection | undefined
    const socket = new ws.WebSocket(options.url, {
      createConnection: dialer({
        isSecure: options.url.startsWith('wss:'),
        maxPayload: options.maxPayload,
        isOpen: () => reader?.isOpen === true,
        take: (bytes, from, to) => reader?.take(bytes, from, to) === true,
      }),
      headers: options.headers,
      handshakeTimeout: options.connectTimeoutMs,
      maxPayload: options.maxPayload,
      // A small message may unpack to a huge one, and packing costs more than a loopback or data centre network.
      perMessageDeflate: false,
      followRedirects: false,
    })
    const connection = (reader = new Connection(socket, options))
    const opened = Promise.withResolvers<void>()
    const release = onAbort(signal, (reason) => {
      opened.reject(reason)
      socket.terminate()
    })
    socket.once('open', () => {
      connection.#isOpen = true
      opened.resolve()
    })
    // Stays for the whole life: an error without a listener would end the process.
    socket.on('error', (error) => {
      connection.#reason ??= error.message
      opened.reject(connectError(error, options.shownUrl))
    })
    socket.once('close', (code, reason) => connection.#onClose(code, reason.toString()))
    socket.on('message', (data) => {
      // What was in the buffers of a connection that we gave up comes again on the next one.
      if (connection.#reason !== undefined) return
      connection.#heard = true
      options.onMessage(bytesOf(data))
    })
    socket.on('pong', () => (connection.#heard = true))
    socket.on('ping', () => (connection.#heard = true))
    try {
      await opened.promise
    } finally {
      release()
    }
    connection.#watch()
    return connection
  }

  /** May a message be delivered? */
  get isOpen(): boolean {
    return this.#isOpen && this.#reason === undefined
  }

  take(bytes: Buffer, from: number, to: number): boolean {
    this.#heard = true
    return this.#options.onText(bytes, from, to)
  }

  /** Resolves, with the reason, once it is over. */
  get closed(): Promise<string> {
    return this.#closed.promise
  }

  send(text: string): void {
    this.#socket.send(text, () => {})
  }

  /** Nothing is read any more; what was read already may still be delivered. */
  pause(): void {
    this.#isOpen = false
    this.#socket.pause()
  }

  resume(): void {
    this.#heard = true
    this.#isOpen = true
    this.#socket.resume()
  }

  /** Says goodbye, and ends it when that is not answered in time. */
  async close(limitMs: number): Promise<void> {
    this.#reason ??= 'closed by us'
    this.#socket.resume()
    this.#socket.close(1000)
    const timer = this.#options.clock.setTimer(() => this.#socket.terminate(), limitMs)
    try {
      await this.closed
    } finally {
      timer.cancel()
    }
  }

  terminate(reason: string): void {
    this.#reason ??= reason
    this.#socket.terminate()
  }

  #watch(): void {
    const { clock, pingIntervalMs } = this.#options
    let asked = false
    const tick = (): void => {
      // After the sockets were read: a process that stood still has what came meanwhile still before it.
      setImmediate(() => {
        if (this.#timer === undefined) return
        if (asked && !this.#heard && !this.#socket.isPaused) {
          this.terminate(`no sign of life for ${2 * pingIntervalMs} ms`)
          return
        }
        asked = true
        this.#heard = false
        if (this.#socket.readyState === this.#socket.OPEN) this.#socket.ping(undefined, undefined, () => {})
      })
      this.#timer = clock.setTimer(tick, pingIntervalMs)
    }
    this.#timer = clock.setTimer(tick, pingIntervalMs)
  }

  #onClose(code: number, reason: string): void {
    this.#timer?.cancel()
    this.#timer = undefined
    const said =
      reason === '' ? `closed with code ${code}` : `closed with code ${code}: ${reason.slice(0, 123)}`
    this.#closed.resolve(this.#reason ?? said)
  }
}

function bytesOf(data: Ws.RawData): Buffer {
  if (Buffer.isBuffer(data)) return data
  return Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data)
}

function connectError(error: Error, shownUrl: string): SluiceError {
  const status = /^Unexpected server response: (\d{3})$/.exec(error.message)?.[1]
  if (status === '401' || status === '403') {
    return new SluiceError('SLUICE_AUTH', `the source ${shownUrl} refused the API key (status ${status})`, {
      cause: error,
      retryable: true,
    })
  }
  return new SluiceError('SLUICE_UNAVAILABLE', `the source ${shownUrl} cannot be reached: ${error.message}`, {
    cause: error,
    retryable: true,
  })
}
