/**
 * Who waits for a connection: two lines that take turns, one of reads, which share connections, and one of all who need
 * a connection alone, for a statement or for a lease. Bounded by who calls (the pool of operate()).
 */
import type { SluiceError } from '../../core/errors.ts'
import type { Lease } from './lease.ts'
import { Line } from './line.ts'
import type { Request } from './request.ts'

export interface WaitingRequest {
  readonly request: Request
  /** Monotonic; it must be answered by then. */
  readonly limitAt: number
}

export class Waiting {
  readonly reads = new Line<WaitingRequest>((waiting) => waiting.request.done)
  readonly alone = new Line<WaitingRequest | Lease>((entry) => isDone(entry))

  /** Puts it at the end of its line. */
  add(waiting: WaitingRequest): void {
    this.lineOf(waiting.request).push(waiting)
  }

  lineOf({ options }: Request): Line<WaitingRequest | Lease> | Line<WaitingRequest> {
    return options.repeatable ? this.reads : this.alone
  }

  get isEmpty(): boolean {
    return this.reads.isEmpty && this.alone.isEmpty
  }
  get length(): number {
    return this.reads.length + this.alone.length
  }

  /** More than `most` of a line are not counted: there may be thousands. */
  lengthUpTo(most: number): number {
    return this.reads.lengthUpTo(most) + this.alone.lengthUpTo(most)
  }

  failAll(error: SluiceError): void {
    for (let entry = this.reads.shift(); entry !== undefined; entry = this.reads.shift())
      entry.request.fail(error)
    for (let entry = this.alone.shift(); entry !== undefined; entry = this.alone.shift()) {
      if (isLease(entry)) entry.reject(error)
      else entry.request.fail(error)
    }
  }
}

export function isLease(entry: WaitingRequest | Lease): entry is Lease {
  return !('request' in entry)
}

function isDone(entry: WaitingRequest | Lease): boolean {
  return isLease(entry) ? entry.done : entry.request.done
}
