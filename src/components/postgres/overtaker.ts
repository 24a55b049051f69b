/**
 * Looks after those who stand behind a head that turned out slow.
 *
 * They are reads, so they are sent once more, on connections that are free, and the first answer counts: it is as if
 * they had never joined that line. A tenth of all reads at most, so that a server that is slow as a whole does not get
 * twice the work. A head that nobody waits for any more is cancelled instead.
 *
 * The timer runs only while there is a line.
 */
import type { Clock, Timer } from '../../core/clock.ts'
import { RetryBudget } from '../../policy/retry-budget.ts'
import type { Connection } from './connection.ts'
import { Request } from './request.ts'
import type { RoundTrip } from './round-trip.ts'

/** A head older than this, and four times the network's time, is overtaken. */
const OVERTAKE_MS = 100
/** Reads that may be sent twice in one burst. */
const BURST = 200

export interface OvertakerHost {
  readonly clock: Clock
  readonly roundTrip: RoundTrip
  readonly connections: readonly Connection[]
  /** Puts it in the line of reads. */
  again(request: Request, limitAt: number): void
}

export class Overtaker {
  readonly #host: OvertakerHost
  readonly #budget = new RetryBudget({ capacity: BURST })
  #timer: Timer | undefined

  constructor(host: OvertakerHost) {
    this.#host = host
  }

  /** A statement was answered. */
  answered(): void {
    this.#budget.succeeded()
  }

  /** There is a line, or a head that nobody wants. */
  watch(): void {
    if (this.#timer !== undefined) return
    const limitMs = OVERTAKE_MS + 4 * this.#host.roundTrip.ms
    const look = (): void => {
      this.#timer = undefined
      this.#overtake(limitMs)
      if (this.#host.connections.some((each) => each.inFlight > 1 || each.isHeadUnwanted)) this.watch()
    }
    this.#timer = this.#host.clock.setTimer(look, limitMs, { keepAlive: false })
  }

  stop(): void {
    this.#timer?.cancel()
  }

  #overtake(limitMs: number): void {
    const now = this.#host.clock.monotonic()
    for (const connection of this.#host.connections.slice()) {
      if (connection.leased || connection.inFlight === 0 || now - connection.line.headSince < limitMs)
        continue
      if (connection.isHeadUnwanted) {
        connection.dropHead()
        continue
      }
      for (const request of connection.line.behindHead()) {
        if (!this.#budget.tryTake()) return
        this.#sendAgain(request)
      }
    }
  }

  #sendAgain(request: Request): void {
    request.requeued++
    const again = new Request(request.statement, request.values, request.options)
    again.promise.then(
      (result) => request.succeed(result),
      // The first one is still in its line, and tells how it went.
      () => {},
    )
    this.#host.again(again, request.deadlineAt === 0 ? Infinity : request.deadlineAt)
  }
}
