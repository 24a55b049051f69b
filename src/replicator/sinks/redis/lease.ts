/**
 * The right to write one lane: a token that grows with each taking, and a lease that says when another may take over.
 *
 *     acquire ──▶ held ──call given up──▶ doubtful ──reclaim──▶ held, with a higher token
 *                  │                         │
 *                  └── refused: another's token, no state, or an older one ──▶ lost, for ever
 *
 * After a call whose outcome is not known, a late arrival of it could come behind what is written next. So nothing is
 * written until the token was raised; the late one is then refused.
 */
import { SluiceError, isSluiceError } from '../../../core/errors.ts'
import type { LaneSpec, StreamId } from '../../contract.ts'
import { isAfter, parseStreamId, STREAM_START } from '../../stream-id.ts'
import { Constant } from './constant.ts'
import { parseOrderKey } from './order-key.ts'
import type { Answer, Argument, Runner } from './runner.ts'
import type { Unit } from './units/index.ts'

export interface LeaseOptions {
  readonly runner: Runner
  readonly lane: LaneSpec
  readonly base: string
  readonly owner: string
  readonly leaseMs: number
  readonly onLost: (error: SluiceError) => void
}

/** What was stored when a lease was taken. */
export interface LaneState {
  readonly cursor: StreamId | undefined
  /** The load that is stored in full. */
  readonly ready: string | undefined
}

export class Lease {
  readonly #options: LeaseOptions
  /** What every key of an entity begins with, as the server has it. */
  readonly entityKey: Constant
  /** Of the load to which what is written belongs. */
  mark = '0'
  /** No version in the store was above it when the lease was taken; undefined where that is not known. */
  #highest: StreamId | undefined
  #token = ''
  /** The highest sequence number that the store acknowledged. */
  #seen = 0
  #doubtful = false
  #reclaiming: Promise<void> | undefined
  #lost: SluiceError | undefined

  constructor(options: LeaseOptions) {
    this.#options = options
    this.entityKey = new Constant(options.runner.key(`${options.base}e:`))
  }

  get lane(): LaneSpec {
    return this.#options.lane
  }

  get base(): string {
    return this.#options.base
  }

  /** Can nothing as new as `at` have been in the store before this session? */
  isNew(at: StreamId): boolean {
    return this.#highest !== undefined && isAfter(at, this.#highest)
  }

  /** A call was given up and may still be under way: nothing is written until it cannot change anything any more. */
  doubt(): void {
    this.#doubtful = true
  }

  /** Tries once. A number says for how many milliseconds another holds it. */
  async acquire(): Promise<LaneState | number> {
    const { runner, base, owner, leaseMs } = this.#options
    const [code, ...rest] = await runner.run('acquire', base, [owner, String(leaseMs), '0', '0'])
    if (code === 0) return Number(rest[0])
    const [token, seen, cursor, ready, mark, highest] = rest
    this.#token = String(token)
    this.#seen = Number(seen)
    this.mark = String(mark)
    this.#highest = highest === '' ? STREAM_START : parseOrderKey(String(highest))
    return { cursor: parseStreamId(cursor), ready: typeof ready === 'string' ? ready : undefined }
  }

  /**
   * Runs a unit behind the fence. Rejects with SLUICE_LEASE_LOST, after which nothing works; with any other error the
   * next call first raises the token, unless the server said that the unit did not run.
   */
  async run(unit: Unit, args: readonly Argument[]): Promise<Answer> {
    if (this.#lost !== undefined) throw this.#lost
    if (this.#doubtful) await (this.#reclaiming ??= this.#reclaim())
    const { runner, base, owner, leaseMs } = this.#options
    let answer: Answer
    try {
      answer = await runner.run(unit, base, [
        this.#token,
        owner,
        String(this.#seen),
        String(leaseMs),
        ...args,
      ])
    } catch (error) {
      if (mayHaveRun(error)) this.#doubtful = true
      throw error
    }
    const code = Number(answer[0])
    if (code < 0) this.#refused(code)
    else if (code > this.#seen) this.#seen = code
    return answer
  }

  async release(): Promise<void> {
    const { runner, base, owner } = this.#options
    this.#lost ??= this.#error('it was given back')
    await runner.run('release', base, [owner])
  }

  async #reclaim(): Promise<void> {
    const { runner, base, owner, leaseMs } = this.#options
    try {
      const answer = await runner.run('acquire', base, [owner, String(leaseMs), '1', String(this.#seen)])
      this.#refused(Number(answer[0]))
      this.#token = String(answer[1])
      this.#doubtful = false
    } finally {
      this.#reclaiming = undefined
    }
  }

  /** Throws for what the fence says; -5 and -6 are answers of units. */
  #refused(code: number): void {
    if (code >= 0 || code < -4) return
    if (code === -4) {
      throw new SluiceError('SLUICE_UNAVAILABLE', `${this.lane.name}: the call came too late`, {
        retryable: true,
      })
    }
    this.#lost ??= this.#error(WHY[code] ?? 'it was refused')
    this.#options.onLost(this.#lost)
    throw this.#lost
  }

  #error(why: string): SluiceError {
    return new SluiceError(
      'SLUICE_LEASE_LOST',
      `the right to write the lane "${this.lane.name}" is gone: ${why}`,
      {
        details: { lane: this.lane.name },
      },
    )
  }
}

const WHY: Readonly<Record<number, string>> = {
  '-1': 'another writer has taken over',
  '-2': 'the store was emptied',
  '-3': 'the store is older than what it acknowledged',
}

/** Refused before it was sent, or by an answer of the server: then it did not run, and will not. */
function mayHaveRun(error: unknown): boolean {
  if (!isSluiceError(error)) return true
  if (error.details?.['reply'] !== undefined) return false
  return !UNSENT.has(error.code)
}

const UNSENT: ReadonlySet<string> = new Set([
  'SLUICE_NOT_READY',
  'SLUICE_BREAKER_OPEN',
  'SLUICE_POOL_FULL',
  'SLUICE_INVALID_ARGUMENT',
  'SLUICE_CLOSED',
])
