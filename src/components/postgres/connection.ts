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
import type { Socket } from 'node:net'
import type { Clock } from '../../core/clock.ts'
import type { Deadlines } from '../../core/deadlines.ts'
import { SluiceError } from '../../core/errors.ts'
import { cancelAtServer } from './cancel-request.ts'
import type { Driver, DriverClient, DriverResult, TypeParsers } from './driver.ts'
import { failureOf, isFatal, sqlState } from './failures.ts'
import { brokenBy } from './gone.ts'
import { isStalePlan, Prepared } from './prepared.ts'
import type { Reported } from './reported.ts'
import type { Request } from './request.ts'
import type { RoundTrip } from './round-trip.ts'
import { SentLine } from './sent-line.ts'

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

const GOODBYE_MS = 1_000

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
  readonly #reported: Reported
  #stream: Socket
  #state: 'open' | 'retiring' | 'closed' = 'open'
  #corked = false
  readonly #prepared: Prepared
  readonly #uncork = (): void => {
    this.#corked = false
    this.#stream.uncork()
  }

  /** What was sent and not answered. */
  readonly line: SentLine
  /** Belongs to a transaction or a session. */
  leased = false
  /** A statement on it may have left what the next caller must not find; see `isSoiled`. */
  soiled = false
  /** Takes no more reads, so that it becomes free for who needs it alone. */
  reserved = false
  /** When the last answer came. */
  idleSince: number
  readonly openedAt: number
  /** When it is to be replaced, monotonic. */
  expiresAt = Infinity

  constructor(
    settings: ConnectionSettings,
    owner: ConnectionOwner,
    client: DriverClient,
    reported: Reported,
  ) {
    this.#settings = settings
    this.#owner = owner
    this.#client = client
    this.#reported = reported
    this.#stream = client.connection.stream
    this.#prepared = new Prepared(client, settings.prepare)
    this.openedAt = settings.clock.monotonic()
    this.idleSince = this.openedAt
    this.line = new SentLine(settings.deadlines, settings.roundTrip, this.openedAt)
    client.on('error', (error: Error) => this.#end(error))
    client.on('end', () => this.#end(undefined))
  }

  /** May it be other than it was opened? */
  get isSoiled(): boolean {
    return this.soiled || this.#reported.isChanged
  }
  get isOpen(): boolean {
    return this.#state === 'open'
  }
  get isClosed(): boolean {
    return this.#state === 'closed'
  }
  /** Statements sent and not answered. */
  get inFlight(): number {
    return this.line.length
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
    this.line.push(request, this, limitMs, now)
    this.#write(request)
  }

  #write(request: Request): void {
    const { driver, types } = this.#settings
    if (!this.#corked) {
      this.#corked = true
      this.#stream.cork()
      process.nextTick(this.#uncork)
    }
    const { statement, values } = request
    const { script, rowMode } = request.options
    const query = new driver.Query({
      text: statement.text,
      values,
      name: script === true ? undefined : this.#prepared.nameFor(statement),
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

  #answered(request: Request, error: Error | null, result: DriverResult | DriverResult[]): void {
    const now = this.#settings.clock.monotonic()
    this.line.shift(request)
    this.line.measure(request.statement, now)
    if (error === null) {
      // A statement that left the connection inside a transaction would take the next caller's along.
      if (!this.leased && this.#client.getTransactionStatus() !== 'I')
        this.destroy(brokenBy(this.#settings.component, 'left a transaction open'))
      request.succeed(Array.isArray(result) ? lastOf(result) : result)
    } else this.#refused(request, error)
    // Of one that nobody has leased nobody would clean up; it is seldom enough.
    if (!this.leased && (request.statement.leaves || this.#reported.isChanged)) this.retire()
    if (this.line.length === 0) {
      this.idleSince = now
      // Who has leased it may send more: then its release closes it.
      if (this.#state === 'retiring' && !this.leased) this.destroy(undefined)
    }
    this.#owner.settled(this)
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
    } else if (request.requeued === 0 && isStalePlan(state, error)) {
      this.#prepared.forget(request.statement.name)
      this.#giveBack(request, failure)
    } else request.fail(failure)
    if (state === '25006') this.retire()
  }

  /** Nothing happened, or it may happen twice: the owner decides. */
  #giveBack(request: Request, failure: SluiceError): void {
    if (this.leased || failure.code === 'SLUICE_OUTCOME_UNKNOWN') request.fail(failure)
    else this.#owner.returned(request, failure)
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
    if (request === this.line.head) this.destroy(brokenBy(this.#settings.component, 'did not answer in time'))
  }

  /**
   * The caller gave up. What runs for it alone is cancelled at the server, and the connection with it. False: others
   * are in its line, and it is probably answered in a moment; see `dropHead`.
   */
  abandon(request: Request): boolean {
    if (request.connection !== this) return true
    if (!this.leased && !this.line.alone) return false
    this.dropHead()
    return true
  }

  /** Nobody waits for the head any more. */
  get isHeadUnwanted(): boolean {
    return this.line.head?.done === true
  }

  /** Cancels the head at the server. Those behind it go back to the owner. */
  dropHead(): void {
    this.destroy(brokenBy(this.#settings.component, 'was given up by its caller'))
  }

  /** Takes nothing new and closes when its line is empty. */
  retire(): void {
    if (this.#state !== 'open') return
    this.#state = 'retiring'
    if (!this.leased && !this.line.isAwaited) this.destroy(undefined)
  }

  /** Closes now. What was sent and not answered is returned (reads) or fails (writes: nobody knows). */
  destroy(error: SluiceError | undefined): void {
    if (this.#state === 'closed') return
    if (this.line.length > 0) cancelAtServer(this.#client, this.#stream)
    this.#end(error)
  }

  #end(cause: Error | undefined): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    const { component } = this.#settings
    const error = cause ?? (this.line.length > 0 ? new Error('the server closed the connection') : undefined)
    let request = this.line.head
    while (request !== undefined) {
      const { next } = request
      this.line.shift(request)
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
}

/** An error of sluice says why the connection was closed; those behind it failed for the network's sake. */
function plain(error: Error | undefined): Error {
  if (error instanceof SluiceError) return new Error(error.message)
  return error ?? new Error('the connection was closed')
}

function lastOf(results: readonly DriverResult[]): DriverResult {
  return results.at(-1) as DriverResult
}
