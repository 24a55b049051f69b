/**
 * The statements that were sent on one connection and not answered, in the order in which the server answers them:
 * their deadlines, what they are expected to cost the server, and how long each of them took.
 */
import type { Deadlines } from '../../core/deadlines.ts'
import type { Request, RequestLine } from './request.ts'
import type { RoundTrip } from './round-trip.ts'
import type { Statement } from './statement.ts'

/** Share of a new measurement in the moving average. */
const SMOOTHING = 0.2
/** Limits are rounded up to it, so that calls of one limit share one list; operate() has answered the caller on time. */
const LIMIT_STEP_MS = 50

export class SentLine {
  readonly #deadlines: Deadlines
  readonly #roundTrip: RoundTrip
  #last: Request | undefined
  #sentAlone = false

  /** The one that is answered next. */
  head: Request | undefined
  /** Statements sent and not answered. */
  length = 0
  /** Milliseconds that the server is expected to need for them. */
  loadMs = 0
  /** One of them must not be joined by others. */
  alone = false
  /** When the head became the head. */
  headSince: number

  constructor(deadlines: Deadlines, roundTrip: RoundTrip, now: number) {
    this.#deadlines = deadlines
    this.#roundTrip = roundTrip
    this.headSince = now
  }

  /** `limitMs`: it must be answered by then; Infinity for no limit. */
  push(request: Request, connection: RequestLine, limitMs: number, now: number): void {
    const { statement, options } = request
    request.connection = connection
    request.costMs = statement.meanMs ?? 0
    this.loadMs += request.costMs
    // What nobody has seen answered may take minutes: it goes alone, once.
    this.alone = !options.repeatable || statement.meanMs === undefined
    if (this.#last === undefined) {
      this.#sentAlone = true
      this.head = request
      this.headSince = now
    } else this.#last.next = request
    this.#last = request
    this.length++
    if (limitMs === Infinity) return
    this.#deadlines.add(request, Math.ceil(Math.max(limitMs, 1) / LIMIT_STEP_MS) * LIMIT_STEP_MS, now)
  }

  /** Takes out the head, which `request` is: the server answers in order. */
  shift(request: Request): void {
    this.head = request.next
    if (this.head === undefined) this.#last = undefined
    request.next = undefined
    request.connection = undefined
    this.#deadlines.remove(request)
    this.loadMs -= request.costMs
    if (--this.length > 0) return
    this.alone = false
    // Sums of fractions drift.
    this.loadMs = 0
  }

  /**
   * The head was answered: from here on the next one is. Behind another's answer the time is the server's; sent to an
   * idle server it is the network's, too.
   */
  measure(statement: Statement, now: number): void {
    let ms = now - this.headSince
    if (this.#sentAlone) {
      this.#roundTrip.observe(ms, now)
      ms = Math.max(0, ms - this.#roundTrip.ms)
    }
    statement.meanMs =
      statement.meanMs === undefined ? ms : statement.meanMs + SMOOTHING * (ms - statement.meanMs)
    this.#sentAlone = false
    this.headSince = now
  }

  /** Those behind the head that have not been sent a second time. */
  *behindHead(): Generator<Request> {
    for (let request = this.head?.next; request !== undefined; request = request.next) {
      if (!request.done && request.requeued === 0) yield request
    }
  }

  /** Is there one that somebody still waits for? */
  get isAwaited(): boolean {
    for (let request = this.head; request !== undefined; request = request.next) {
      if (!request.done) return true
    }
    return false
  }
}
