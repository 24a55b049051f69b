/**
 * The source: a WebSocket with the stream and HTTP pages of everything.
 *
 * A client is a position in the log and no buffer: it gets the next message when it took the last ones, so one that
 * reads slowly costs nothing, and one that is too slow finds its position gone and is told to load anew.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setInterval } from 'node:timers'
import { WebSocketServer, type WebSocket } from 'ws'
import type { Position, StreamLog } from './stream-log.ts'

export interface SourceServerOptions {
  readonly log: StreamLog
  /** @default any free one */
  readonly port?: number
  /** What clients must send as `x-api-key`. @default nothing */
  readonly apiKey?: string
  /** Between two heartbeats, in milliseconds. @default 1000 */
  readonly heartbeatMs?: number
}

/** So long a client may take to subscribe to all that it wants. */
const SUBSCRIBE_WAIT_MS = 50
/** What is handed to the socket and not sent yet, per client. */
const MAX_BUFFERED = 256 * 1_024
const MAX_CLIENTS = 100
const MAX_REQUEST = 4_096
const MAX_PAGE = 10_000

interface Client {
  readonly socket: WebSocket
  /** Index of the next message, by lane. */
  readonly next: Map<string, number>
  at: number
  /** Messages are sent to it. */
  isFed: boolean
  pumping: boolean
}

export class SourceServer implements AsyncDisposable {
  readonly log: StreamLog
  readonly #http: Server
  readonly #sockets: WebSocketServer
  readonly #clients = new Set<Client>()
  readonly #heartbeat: NodeJS.Timeout
  readonly #apiKey: string | undefined
  /** While true no page is answered and no client is let in. */
  refusing = false
  pages = 0
  reloads = 0
  connects = 0

  constructor(options: SourceServerOptions) {
    this.log = options.log
    this.#apiKey = options.apiKey
    this.#http = createServer((request, response) => this.#page(request, response))
    this.#sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_REQUEST, perMessageDeflate: false })
    this.#http.on('upgrade', (request, socket, head) => {
      socket.on('error', () => socket.destroy())
      if (this.refusing || this.#clients.size >= MAX_CLIENTS || !this.#allowed(request)) {
        socket.end(
          `HTTP/1.1 ${this.#allowed(request) ? '503 Service Unavailable' : '401 Unauthorized'}\r\n\r\n`,
        )
        return
      }
      this.#sockets.handleUpgrade(request, socket, head, (client) => this.#accept(client))
    })
    this.#heartbeat = setInterval(() => this.#beat(), options.heartbeatMs ?? 1_000)
  }

  static async start(options: SourceServerOptions): Promise<SourceServer> {
    const server = new SourceServer(options)
    await new Promise<void>((resolve, reject) => {
      server.#http.once('error', reject)
      server.#http.listen(options.port ?? 0, '127.0.0.1', () => resolve())
    })
    return server
  }

  get port(): number {
    return (this.#http.address() as AddressInfo).port
  }
  get url(): string {
    return `ws://127.0.0.1:${this.port}/stream`
  }
  get bulkUrl(): string {
    return `http://127.0.0.1:${this.port}/entities`
  }
  get clients(): number {
    return this.#clients.size
  }

  /** Sends what the log has got; to be called after changes, at most once a turn of the event loop. */
  pump(): void {
    for (const client of this.#clients) this.#pump(client)
  }

  /** Cuts every connection, without a goodbye. */
  disconnect(): void {
    for (const { socket } of this.#clients) socket.terminate()
  }

  async stop(): Promise<void> {
    clearInterval(this.#heartbeat)
    for (const { socket } of this.#clients) socket.terminate()
    this.#http.closeAllConnections()
    await new Promise<void>((resolve) => this.#http.close(() => resolve()))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  #allowed(request: IncomingMessage): boolean {
    return this.#apiKey === undefined || request.headers['x-api-key'] === this.#apiKey
  }

  #accept(socket: WebSocket): void {
    const client: Client = { socket, next: new Map(), at: this.log.end, isFed: false, pumping: false }
    this.connects += 1
    this.#clients.add(client)
    socket.on('error', () => {})
    socket.on('close', () => this.#clients.delete(client))
    socket.on('message', (data: Buffer) => this.#request(client, data.toString()))
  }

  #request(client: Client, text: string): void {
    const { action, entity_type: lane, after } = parse(text)
    if (action !== 'subscribe' || typeof lane !== 'string' || !this.log.lanes.has(lane)) {
      client.socket.send(JSON.stringify({ type: 'error', message: 'this is no subscription' }))
      return
    }
    const { last } = this.log
    const position = typeof after === 'string' ? positionOf(after) : undefined
    const index = position === undefined ? this.log.end : this.log.after(position)
    if (index === undefined) {
      this.reloads += 1
      this.#tell(client, {
        type: 'reload',
        entity_type: lane,
        stream_id: positionText(last),
        reason: 'too old',
      })
    } else {
      const at = position ?? last
      this.#tell(client, {
        type: 'subscribed',
        entity_type: lane,
        stream_id: positionText(at),
        resumed: position !== undefined,
      })
    }
    const from = index ?? this.log.end
    client.next.set(lane, from)
    client.at = Math.min(client.at, from)
    // Once all of its subscriptions are here: what it missed of all types has to come in one order.
    const start = (): void => {
      client.isFed = true
      this.#pump(client)
    }
    if (client.next.size === this.log.lanes.size) setImmediate(start)
    else setTimeout(start, SUBSCRIBE_WAIT_MS).unref()
  }

  #tell(client: Client, answer: object): void {
    client.socket.send(JSON.stringify(answer))
  }

  #pump(client: Client): void {
    const { socket, next } = client
    const { log } = this
    while (client.isFed && client.at < log.end && socket.readyState === socket.OPEN) {
      if (socket.bufferedAmount > MAX_BUFFERED) {
        this.#pumpLater(client)
        return
      }
      const entry = log.at(client.at)
      if (entry === undefined) {
        // It was too slow: what comes next is not kept any more.
        this.reloads += 1
        client.at = log.end
        for (const lane of next.keys()) next.set(lane, log.end)
        this.#tell(client, { type: 'reload', stream_id: positionText(log.last), reason: 'too slow' })
        return
      }
      const index = client.at++
      const from = next.get(entry.lane)
      if (from === undefined || index < from) continue
      next.set(entry.lane, index + 1)
      socket.send(entry.text)
    }
  }

  /** When the socket has taken what it has. */
  #pumpLater(client: Client): void {
    if (client.pumping) return
    client.pumping = true
    client.socket.ping(undefined, undefined, () => {
      client.pumping = false
      this.#pump(client)
    })
  }

  #beat(): void {
    for (const client of this.#clients) {
      // Only to those that have everything: a heartbeat says that all before it was sent.
      if (client.at === this.log.end && client.next.size === this.log.lanes.size)
        this.#tell(client, { type: 'heartbeat', stream_id: positionText(this.log.last) })
    }
  }

  #page(request: IncomingMessage, response: ServerResponse): void {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost')
    const entities = this.log.lanes.get(searchParams.get('entity_type') ?? '')
    if (this.refusing) return void response.writeHead(503).end()
    if (!this.#allowed(request)) return void response.writeHead(401).end()
    if (pathname !== '/entities' || entities === undefined) return void response.writeHead(404).end()
    this.pages += 1
    const limit = Math.min(MAX_PAGE, Math.max(1, Number(searchParams.get('limit') ?? 1_000)))
    const rows: object[] = []
    let index = Number(searchParams.get('cursor') ?? 0)
    for (; index < entities.ids.length && rows.length < limit; index++) {
      const id = entities.ids[index] ?? ''
      const data = entities.byId.get(id)
      if (data !== undefined) rows.push({ entity_id: id, data })
    }
    const next = index < entities.ids.length ? String(index) : null
    const body = JSON.stringify({ stream_id: positionText(this.log.last), total: entities.count, rows, next })
    response.writeHead(200, { 'content-type': 'application/json' }).end(body)
  }
}

function parse(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}

function positionOf(text: string): Position | undefined {
  const match = /^(\d{1,16})-(\d{1,16})$/.exec(text)
  return match === null ? undefined : { ms: Number(match[1]), seq: Number(match[2]) }
}

function positionText({ ms, seq }: Position): string {
  return `${ms}-${seq}`
}
