/**
 * One connection to PostgreSQL: a line of statements that the server answers in order.
 *
 *     open ──(retire)──▶ retiring: takes nothing new ──(line empty)──▶ closed
 *       └────────────(error, overdue head, destroy)──────────────────▶ closed
 *
 * Statements are written as they come, without waiting for earlier answers (pipelining); each is a transaction of its
 * own and fails alone. What is written in one turn of the event loop leaves in one system call.
 *
 * A head that is not answered by its deadline ends the connection: `pg` would wait for ever on a frozen server, and an
 * answer that comes late would be read as another's. Those behind it were reads and go back to the owner.
 */
import { connect as connectSocket, type Socket } from 'node:net'
import type { Clock } from '../../core/clock.ts'
import type { Deadlines } from '../../core/deadlines.ts'
import { SluiceError } from '../../core/errors.ts'
import { onAbort } from '../../core/abort.ts'
import { failureOf, isFatal, sqlState } from './failures.ts'
import type { Driver, DriverClient, DriverResult, TypeParsers } from './driver.ts'
import { Request } from './request.ts'
import type { RoundTrip } from './round-trip.ts'
import { describe, type Statement } from './statement.ts'

/** What every connection of a pool shares. */
export interface ConnectionSettings {
  readonly component: string
  readonly driver: Driver
  /** For `new Client()`. Holds the password: never logged. */
  readonly client: Readonly<Record<string, unknown>>
  readonly connectTimeoutMs: number
  readonly prepare: boolean
  readonly types: TypeParsers | undefined
  readonly clock: Clock
  readonly deadlines: Deadlines
  readonly roundTrip: RoundTrip
}

/** Prepared statements kept on one connection; the server pays some 10 KB for each. */
const MAX_PREPARED = 200
/** Code of the protocol's CancelRequest. */
const CANCEL_REQUEST = 80_877_102
const GOODBYE_MS = 1_000
/** Share of a new measurement in the moving average. */
const SMOOTHING = 0.2

/** What a connection tells its owner. */
export interface ConnectionOwner {
  /** The head of the line was answered, or all were. */
  settled(connection: Connection): void
  /** Failed through no fault of its own and without effect: send it again, or fail it with `error`. */
  returned(request: Request, error: SluiceError): void
  /** Closed for good, by the server, by the network or by us. Called once. */
  closed(connection: Connection, error: SluiceError | undefined): void
}

export class Connection {
  readonly #settings: ConnectionSettings
  readonly #owner: ConnectionOwner
  readonly #client: DriverClient
  #stream: Socket
  #state: 'open' | 'retiring' | 'closed' = 'open'
  #head: Request | undefined
  #last: Request | undefined
  #corked = false
  #sentAlone = false
  readonly #prepared = new Set<string>()
  readonly #uncork = (): void => {
    this.#corked = false
    this.#stream.uncork()
  }

  /** Statements sent and not answered. */
  inFlight = 0
  /** Milliseconds that the server is expected to need for them. */
  loadMs = 0
  /** One of them must not be joined by others. */
  alone = false
  /** Belongs to a transaction or a session. */
  leased = false
  /** Takes no more reads, so that it becomes free for who needs it alone. */
  reserved = false
  /** When the head became the head. */
  headSince: number
  /** When the last answer came. */
  idleSince: number
  readonly openedAt: number
  /** When it is to be replaced, monotonic. */
  expiresAt = Infinity

  constructor(settings: ConnectionSettings, owner: ConnectionOwner, client: DriverClient) {
    this.#settings = settings
    this.#owner = owner
    this.#client = client
    this.#stream = client.connection.stream
    this.openedAt = settings.clock.monotonic()
    this.headSince = this.openedAt
    this.idleSince = this.openedAt
    client.on('error', (error: Error) => this.#end(error))
    client.on('end', () => this.#end(undefined))
  }

  get isOpen(): boolean {
    return this.#state === 'open'
  }
  get isClosed(): boolean {
    return this.#state === 'closed'
  }
  get processId(): number | null {
    return this.#client.processID
  }
  /** For LISTEN and cursors, which speak to the driver themselves. */
  get client(): DriverClient {
    return this.#client
  }

  /** Writes the statement. `limitMs`: it must be answered by then; Infinity for no limit. */
  send(request: Request, limitMs: number, now: number): void {
    const { statement } = request
    request.connection = this
    request.costMs = statement.meanMs ?? 0
    this.loadMs += request.costMs
    // What nobody has seen answered may take minutes: it goes alone, once.
    this.alone = !request.options.repeatable || statement.meanMs === undefined
    if (this.#last === undefined) {
      this.#sentAlone = true
      this.#head = request
      this.headSince = now
    } else this.#last.next = request
    this.#last = request
    this.inFlight++
    // Rounded up, so that calls of one limit share one list; the caller has been answered on time by operate().
    if (limitMs !== Infinity)
      this.#settings.deadlines.add(request, Math.ceil(Math.max(limitMs, 1) / 50) * 50, now)
    this.#write(request, statement)
  }

  #write(request: Request, statement: Statement): void {
    const { driver, types } = this.#settings
    if (!this.#corked) {
      this.#corked = true
      this.#stream.cork()
      process.nextTick(this.#uncork)
    }
    const { script, rowMode } = request.options
    const query = new driver.Query({
      text: statement.text,
      values: request.values,
      name: script === true ? undefined : this.#nameOf(statement),
      // The extended protocol takes one statement a text: none can hide a BEGIN behind a semicolon.
      queryMode: script === true ? undefined : 'extended',
      rowMode,
      types: request.options.types ?? types,
      callback: (error, result) => {
        if (request.connection === this) this.#answered(request, error, result)
      },
    })
    this.#client.query(query)
  }

  #nameOf(statement: Statement): string | undefined {
    if (!this.#settings.prepare || statement.uses++ === 0) return undefined
    if (this.#prepared.has(statement.name)) return statement.name
    this.#prepared.add(statement.name)
    if (this.#prepared.size > MAX_PREPARED) {
      for (const oldest of this.#prepared) {
        this.#forget(oldest)
        break
      }
    }
    return statement.name
  }

  #forget(name: string): void {
    this.#prepared.delete(name)
    const { connection } = this.#client
    delete connection.parsedStatements[name]
    connection.close({ type: 'S', name })
  }

  #answered(request: Request, error: Error | null, result: DriverResult | DriverResult[]): void {
    const now = this.#settings.clock.monotonic()
    this.#shift(request)
    this.#measure(request.statement, now)
    if (error === null) {
      // A statement that left the connection inside a transaction would take the next caller's along.
      if (!this.leased && this.#client.getTransactionStatus() !== 'I')
        this.destroy(this.#broken('left a transaction open'))
      request.succeed(Array.isArray(result) ? lastOf(result) : result)
    } else this.#refused(request, error)
    if (this.inFlight === 0) {
      this.idleSince = now
      this.loadMs = 0
      // Who has leased it may send more: then its release closes it.
      if (this.#state === 'retiring' && !this.leased) this.destroy(undefined)
    }
    this.#owner.settled(this)
  }

  /** Behind another's answer the time is the server's; sent to an idle server it is the network's, too. */
  #measure(statement: Statement, now: number): void {
    const { roundTrip } = this.#settings
    let ms = now - this.headSince
    if (this.#sentAlone) {
      roundTrip.observe(ms, now)
      ms = Math.max(0, ms - roundTrip.ms)
    }
    statement.meanMs =
      statement.meanMs === undefined ? ms : statement.meanMs + SMOOTHING * (ms - statement.meanMs)
    this.#sentAlone = false
    this.headSince = now
  }

  #refused(request: Request, error: Error): void {
    const { component } = this.#settings
    const state = sqlState(error)
    const { repeatable } = request.options
    const failure = failureOf(error, { component, sent: true, repeatable })
    if (state === undefined || isFatal(error)) {
      // Not the server's word on the statement: the connection is gone, or what came was no PostgreSQL protocol.
      this.#giveBack(request, failure)
      this.#end(error)
    } else if (isStalePlan(state, error, request)) {
      this.#forget(request.statement.name)
      this.#giveBack(request, failure)
    } else request.fail(failure)
    if (state === '25006') this.retire()
  }

  /** Nothing happened, or it may happen twice: the owner decides. */
  #giveBack(request: Request, failure: SluiceError): void {
    if (this.leased || failure.code === 'SLUICE_OUTCOME_UNKNOWN') request.fail(failure)
    else this.#owner.returned(request, failure)
  }

  #shift(request: Request): void {
    // The server answers in order, so this is the head.
    this.#head = request.next
    if (this.#head === undefined) this.#last = undefined
    request.next = undefined
    request.connection = undefined
    this.#settings.deadlines.remove(request)
    this.inFlight--
    this.loadMs -= request.costMs
    if (this.inFlight === 0) this.alone = false
  }

  /** Those behind the head that have not been sent a second time. */
  *behindHead(): Generator<Request> {
    for (let request = this.#head?.next; request !== undefined; request = request.next) {
      if (!request.done && request.requeued === 0) yield request
    }
  }

  /** The deadline of `request` has passed. */
  overdue(request: Request): void {
    const { component } = this.#settings
    request.fail(
      new SluiceError('SLUICE_TIMEOUT', `${component}: the server did not answer in time`, {
        component,
        retryable: request.options.repeatable,
      }),
    )
    // Behind a head with a later deadline it waits for its turn unheard; the answer is thrown away.
    if (request === this.#head) this.destroy(this.#broken('did not answer in time'))
  }

  /**
   * The caller gave up. What runs for it alone is cancelled at the server, and the connection with it. False: others
   * are in its line, and it is probably answered in a moment; see `dropHead`.
   */
  abandon(request: Request): boolean {
    if (request.connection !== this) return true
    if (!this.leased && !this.alone) return false
    this.dropHead()
    return true
  }

  /** Nobody waits for the head any more. */
  get isHeadUnwanted(): boolean {
    return this.#head?.done === true
  }

  /** Cancels the head at the server. Those behind it go back to the owner. */
  dropHead(): void {
    this.destroy(this.#broken('was given up by its caller'))
  }

  /** Takes nothing new and closes when its line is empty. */
  retire(): void {
    if (this.#state !== 'open') return
    this.#state = 'retiring'
    if (!this.leased && !this.#isAwaited()) this.destroy(undefined)
  }

  #isAwaited(): boolean {
    for (let request = this.#head; request !== undefined; request = request.next) {
      if (!request.done) return true
    }
    return false
  }

  /** Closes now. What was sent and not answered is returned (reads) or fails (writes: nobody knows). */
  destroy(error: SluiceError | undefined): void {
    if (this.#state === 'closed') return
    if (this.inFlight > 0) this.#cancel()
    this.#end(error)
  }

  #end(cause: Error | undefined): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    const { component } = this.#settings
    const error = cause ?? (this.inFlight > 0 ? new Error('the server closed the connection') : undefined)
    let request = this.#head
    while (request !== undefined) {
      const { next } = request
      this.#shift(request)
      if (!request.done) {
        const { repeatable } = request.options
        const sent = { component, sent: true, repeatable }
        this.#giveBack(request, failureOf(plain(error), sent))
      }
      request = next
    }
    if (cause === undefined && this.#stream.writable) {
      this.#client.end(() => {})
      // It says goodbye and waits for the server to hang up, which a frozen one never does.
      this.#settings.clock.setTimer(() => this.#stream.destroy(), GOODBYE_MS, { keepAlive: false })
    } else this.#stream.destroy()
    this.#owner.closed(this, error === undefined ? undefined : failureOf(error, { component }))
  }

  #broken(what: string): SluiceError {
    const { component } = this.#settings
    return new SluiceError(
      'SLUICE_UNAVAILABLE',
      `${component}: the connection was closed: a statement ${what}`,
      {
        component,
        retryable: true,
      },
    )
  }

  /** Asks the server to stop what it does for this connection. Best effort: closing alone would not stop it. */
  #cancel(): void {
    const { processID, secretKey, host, port } = this.#client
    const { remoteAddress, remotePort } = this.#stream
    if (processID === null || secretKey === null) return
    const message = Buffer.alloc(16)
    message.writeInt32BE(16, 0)
    message.writeInt32BE(CANCEL_REQUEST, 4)
    message.writeInt32BE(processID, 8)
    message.writeInt32BE(secretKey, 12)
    // The very server that this connection goes to, not another one behind the same name.
    const socket =
      remoteAddress !== undefined && remotePort !== undefined
        ? connectSocket(remotePort, remoteAddress)
        : host.startsWith('/')
          ? connectSocket(`${host}/.s.PGSQL.${port}`)
          : undefined
    if (socket === undefined) return
    socket.unref()
    socket.setTimeout(2_000, () => socket.destroy())
    socket.on('error', () => socket.destroy())
    socket.end(message)
  }
}

/** Opens one connection, or rejects and leaves nothing behind. */
export function openConnection(
  settings: ConnectionSettings,
  owner: ConnectionOwner,
  signal: AbortSignal | undefined,
): Promise<Connection> {
  const { driver, component, connectTimeoutMs } = settings
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted()
    const client = new driver.Client({
      ...settings.client,
      pipeline: true,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      connectionTimeoutMillis: connectTimeoutMs,
    })
    // An `error` event that nobody hears ends the process, also long after the connection failed.
    client.on('error', () => {})
    let release = (): void => {}
    client.connect((error) => {
      if (error !== null && error !== undefined) {
        release()
        client.connection.stream.destroy()
        reject(
          signal?.aborted === true
            ? signal.reason
            : failureOf(error, { component, target: targetOf(client) }),
        )
        return
      }
      contain(client)
      proven(new Connection(settings, owner, client), settings)
        .then(resolve, reject)
        .finally(release)
    })
    contain(client)
    client.connection.on('sslconnect', () => contain(client))
    release = onAbort(signal, (reason) => {
      client.connection.stream.destroy()
      reject(reason)
    })
  })
}

/** For hints: `db:5432, database "todo"`. */
function targetOf({ host, port, database }: DriverClient): string {
  const place = host.startsWith('/') ? host : `${host}:${port}`
  return typeof database === 'string' ? `${place}, database "${database}"` : place
}

/** Asks once: a pooler takes connections that it has no server for. The answer also tells how long the way is. */
async function proven(connection: Connection, settings: ConnectionSettings): Promise<Connection> {
  const request = new Request(describe('select 1'), undefined, { repeatable: true })
  // Nobody else's until it has answered, and nothing to be given back to the owner.
  connection.leased = true
  connection.send(request, settings.connectTimeoutMs, settings.clock.monotonic())
  try {
    await request.promise
    connection.leased = false
    return connection
  } catch (error) {
    connection.destroy(undefined)
    throw error
  }
}

/**
 * The parser of `pg` throws on what is not PostgreSQL's protocol, inside the socket's `data` event, which would end
 * the process. It ends the connection instead.
 */
function contain(client: DriverClient): void {
  const { stream } = client.connection
  if (Object.hasOwn(stream, 'emit')) return
  const emit = stream.emit.bind(stream) as (event: string, ...rest: unknown[]) => boolean
  const guarded = (event: string, ...rest: unknown[]): boolean => {
    if (event !== 'data') return emit(event, ...rest)
    try {
      return emit(event, ...rest)
    } catch (error) {
      stream.destroy(new Error('what the server sent is not its protocol', { cause: error }))
      return true
    }
  }
  Object.defineProperty(stream, 'emit', { value: guarded, configurable: true })
}

/** The plan of a prepared statement no longer fits the table (0A000), or the server does not know its name (26000). */
function isStalePlan(state: string, error: Error, request: Request): boolean {
  if (request.requeued > 0) return false
  if (state === '26000') return true
  return state === '0A000' && (error as { readonly routine?: unknown }).routine === 'RevalidateCachedQuery'
}

/** An error of sluice says why the connection was closed; those behind it failed for the network's sake. */
function plain(error: Error | undefined): Error {
  if (error instanceof SluiceError) return new Error(error.message)
  return error ?? new Error('the connection was closed')
}

function lastOf(results: readonly DriverResult[]): DriverResult {
  return results.at(-1) as DriverResult
}
