/** One statement on its way: what is sent, who waits for it, and where it is. */
import type { DeadlineEntry, DeadlineList } from '../../core/deadlines.ts'
import { SluiceError } from '../../core/errors.ts'
import type { DriverResult, TypeParsers } from './driver.ts'
import type { Statement } from './statement.ts'

export interface RequestOptions {
  /** May be sent twice, and so may share a connection. */
  readonly repeatable: boolean
  /** Several statements in one text, without parameters. */
  readonly script?: boolean
  readonly rowMode?: 'array' | undefined
  readonly types?: TypeParsers | undefined
}

/** The protocol counts them with two bytes; the driver would send the remainder of a larger number. */
const MAX_PARAMETERS = 65_535

/** The connection that a request was sent on, as the request knows it. */
export interface RequestLine {
  /** Its deadline has passed. */
  overdue(request: Request): void
  /** The caller gave up. False when others wait in the same line, so that it is left to be answered. */
  abandon(request: Request): boolean
}

export class Request implements DeadlineEntry {
  readonly statement: Statement
  readonly values: readonly unknown[] | undefined
  readonly options: RequestOptions
  readonly promise: Promise<DriverResult>
  readonly #resolve: (result: DriverResult) => void
  readonly #reject: (error: unknown) => void
  /** Settled; replies that still come are ignored. */
  done = false
  /** Put back into the queue after its connection failed for another's fault, or its plan was stale. */
  requeued = 0
  /** What `statement.meanMs` was when it was sent: what it adds to the load of its connection. */
  costMs = 0
  /** Sent on it and not answered. */
  connection: RequestLine | undefined = undefined
  /** Behind it on the connection. */
  next: Request | undefined = undefined
  /** Called once when it settles, to take listeners off. */
  onSettled: (() => void) | undefined = undefined

  deadlineAt = 0
  deadlineList: DeadlineList | undefined = undefined
  deadlinePrevious: DeadlineEntry | undefined = undefined
  deadlineNext: DeadlineEntry | undefined = undefined

  /** Throws SLUICE_INVALID_ARGUMENT for more parameters than can be sent. */
  constructor(statement: Statement, values: readonly unknown[] | undefined, options: RequestOptions) {
    const count = values?.length ?? 0
    if (count > MAX_PARAMETERS) throw tooMany(count)
    this.statement = statement
    this.values = values
    this.options = options
    let resolve!: (result: DriverResult) => void
    let reject!: (error: unknown) => void
    this.promise = new Promise<DriverResult>((res, rej) => {
      resolve = res
      reject = rej
    })
    this.#resolve = resolve
    this.#reject = reject
  }

  deadlinePassed(): void {
    this.connection?.overdue(this)
  }

  succeed(result: DriverResult): void {
    if (this.done) return
    this.#settle()
    this.#resolve(result)
  }

  fail(error: unknown): void {
    if (this.done) return
    this.#settle()
    this.#reject(error)
  }

  #settle(): void {
    this.done = true
    this.onSettled?.()
    this.onSettled = undefined
  }
}

function tooMany(count: number): SluiceError {
  return new SluiceError(
    'SLUICE_INVALID_ARGUMENT',
    `the parameters: expected at most ${MAX_PARAMETERS}, got ${count}`,
    { hint: 'Pass a list as one parameter, an array: `= any($1)` for `in (…)`, insertMany() for rows.' },
  )
}
