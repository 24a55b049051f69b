/**
 * Reads the log for all subscriptions of this process. Those that stand at the same place share one read: each page is
 * asked for once, and handed to all of them.
 *
 * While a reader has nothing to read it waits for a hint that something was published, or for the next poll, and then
 * writes a tick where there is something to see, and reads on in the same round trip. One that is behind needs no tick; so
 * under load ticks come about as fast as readers follow, at most two in twenty milliseconds.
 *
 * What a subscription reads is decided by topic ids. A topic that is made while it reads is learned of before the first
 * window that holds an event of it is read (see topics.ts), so that a pattern misses nothing.
 *
 * A question that is not answered would hold up all of them for good. Whoever watches calls `giveUpStalled`: who waits for
 * it then fails, and asks again.
 */
import { onAbort, waitOrAbort } from '../../core/abort.ts'
import { SluiceError } from '../../core/errors.ts'
import type { Engine } from '../engine.ts'
import { moment } from '../moments.ts'
import { KeptPages } from './kept-pages.ts'
import { LEAST_GAP_MS, TICK_GAP_MS, tickAndRead } from './tick.ts'
import type { Topics } from './topics.ts'
import {
  behind,
  readBehind,
  readPage,
  readStatement,
  type Behind,
  type Page,
  type Position,
} from './window.ts'

/** Topic of the hints that something was published. */
export const LOG = 'log'

export interface LogInterest {
  /** Ids of the topics that it reads now. The set is the caller's to look at, and changes. */
  readonly topics: ReadonlySet<number>
  /** The next page behind `from`; waits until there is one. Rows of other topics may be among them. */
  next(from: Position, signal: AbortSignal): Promise<Page>
  /** Learns of topics up to that id, for those who read without it. */
  learn(newestTopic: number): Promise<void>
  close(): void
}

interface Interest {
  readonly matches: (topic: string) => boolean
  readonly topics: Set<number>
}

interface Question {
  readonly what: string
  readonly at: number
  readonly controller: AbortController
}

export interface LogReaderOptions {
  readonly engine: Pick<Engine, 'db' | 'clock' | 'random' | 'wake'>
  readonly topics: Topics
  /** Between two looks without a hint. */
  readonly pollMs: number
}

export class LogReader {
  readonly #options: LogReaderOptions
  readonly #interests = new Set<Interest>()
  readonly #pages = new KeptPages()
  readonly #closed = new AbortController()
  readonly #offHints: () => void
  /** Topics that any of them reads, and how often that changed. */
  #union: readonly number[] = []
  #generation = 0
  #seenTopic = 0
  #hinted = true
  #onHint: (() => void) | undefined
  #advancing: Promise<void> | undefined
  #lastTickAt = -Infinity
  #mayTickAt = -Infinity
  /** The newest tick at the last look. */
  #end: string | undefined
  readonly #asked = new Set<Question>()

  constructor(options: LogReaderOptions) {
    this.#options = options
    this.#offHints = options.engine.wake.on(LOG, () => this.hint())
  }

  /** There may be something new. */
  hint(): void {
    this.#hinted = true
    this.#onHint?.()
  }

  /** Reads topics whose names match, also those that come later. */
  async open(matches: (topic: string) => boolean): Promise<LogInterest> {
    await this.#options.topics.refresh()
    const interest: Interest = { matches, topics: new Set() }
    this.#interests.add(interest)
    for (const { id, name } of this.#options.topics.all) if (matches(name)) interest.topics.add(id)
    this.#learn()
    this.#recount()
    return {
      topics: interest.topics,
      next: (from, signal) => this.#next(from, signal),
      learn: (newestTopic) => this.#know(newestTopic),
      close: () => {
        if (this.#interests.delete(interest)) this.#recount()
      },
    }
  }

  /** Gives up what the database was asked so long ago; how many questions. */
  giveUpStalled(limitMs: number): number {
    const before = this.#options.engine.clock.monotonic() - limitMs
    const stalled = [...this.#asked].filter(({ at }) => at < before)
    for (const { what, controller } of stalled) {
      controller.abort(
        new SluiceError('SLUICE_TIMEOUT', `the database did not answer for ${limitMs} ms: ${what}`, {
          retryable: true,
        }),
      )
    }
    return stalled.length
  }

  /** Ends every wait. */
  async close(): Promise<void> {
    this.#offHints()
    this.#closed.abort(new SluiceError('SLUICE_SHUTDOWN', 'the log is read no more'))
    await this.#advancing?.catch(() => {})
    await this.#pages.clear()
  }

  async #next(from: Position, signal: AbortSignal): Promise<Page> {
    for (;;) {
      signal.throwIfAborted()
      this.#closed.signal.throwIfAborted()
      if (!this.#isAtTheEnd(from)) {
        const page = await waitOrAbort(this.#page(from), signal)
        if (page !== undefined) return page
      }
      await waitOrAbort(this.#advance(from), signal)
    }
  }

  /** There was no later tick at the last look. Another process writes one for what it tells of, or at its poll. */
  #isAtTheEnd({ tick, till }: Position): boolean {
    return till === null && tick === this.#end
  }

  /** Undefined where there is no later tick. */
  #page(from: Position): Promise<Page | undefined> {
    const place = this.#placeOf(from)
    const known = this.#pages.at(place)
    if (known !== undefined) return known
    const page = this.#asking('what is in the log', () => this.#read(from))
    this.#pages.keep(place, page)
    return page
  }

  /** A page that was read for fewer topics is of no use to the others, so that its place must not be found again. */
  #placeOf({ tick, till, pos }: Position): string {
    return `${this.#generation}:${tick}:${till ?? ''}:${pos}`
  }

  async #read(from: Position): Promise<Page | undefined> {
    const union = this.#learned()
    const topic = this.#seenTopic
    return this.#checked(from, await readBehind(this.#options.engine.db, union, from), topic)
  }

  /** A page that was read without topics that are newer than `topic` is read again where it may hold events of them. */
  async #checked(from: Position, found: Behind | undefined, topic: number): Promise<Page | undefined> {
    if (found === undefined) {
      if (from.till === null) this.#sawEnd(from.tick)
      return undefined
    }
    let { page } = found
    if (found.newestTopic > topic) {
      await this.#know(found.newestTopic)
      page = await readPage(this.#options.engine.db, this.#learned(), from, page.till)
    }
    if (found.isNewest) this.#sawEnd(page.till)
    moment('events.read', page.rows.length)
    return page
  }

  /** An answer may be late, and of before another one. */
  #sawEnd(tick: string): void {
    if (this.#end === undefined || BigInt(tick) > BigInt(this.#end)) this.#end = tick
  }

  /** Topics to read, with those that this process has learned of elsewhere. */
  #learned(): readonly number[] {
    if (this.#options.topics.newest > this.#seenTopic) this.#learn()
    return this.#union
  }

  async #asking<T>(what: string, ask: () => Promise<T>): Promise<T> {
    const controller = new AbortController()
    const question: Question = { what, at: this.#options.engine.clock.monotonic(), controller }
    this.#asked.add(question)
    try {
      return await waitOrAbort(ask(), controller.signal)
    } finally {
      this.#asked.delete(question)
    }
  }

  async #know(newestTopic: number): Promise<void> {
    const { topics } = this.#options
    if (newestTopic > topics.newest) await topics.refresh()
    if (topics.newest > this.#seenTopic) this.#learn()
  }

  /** Topics that were learned of are given to those whose patterns they match. */
  #learn(): void {
    const { topics } = this.#options
    for (const { id, name } of topics.all) {
      if (id <= this.#seenTopic) continue
      for (const interest of this.#interests) if (interest.matches(name)) interest.topics.add(id)
    }
    this.#seenTopic = topics.newest
    this.#recount()
  }

  #recount(): void {
    const union = new Set<number>()
    for (const { topics } of this.#interests) for (const id of topics) union.add(id)
    this.#union = [...union]
    this.#generation++
  }

  /** Resolves when there may be a later tick. All who wait share one. */
  #advance(from: Position): Promise<void> {
    this.#advancing ??= this.#tick(from).finally(() => (this.#advancing = undefined))
    return this.#advancing
  }

  /** The one who waits first has its page read along; the others stand there too, or are behind. */
  async #tick(from: Position): Promise<void> {
    const { clock, db } = this.#options.engine
    const { signal } = this.#closed
    await this.#hintOrPoll()
    signal.throwIfAborted()
    const wait = this.#mayTickAt - clock.monotonic()
    if (wait > 0) await clock.sleep(wait, { signal })
    this.#hinted = false
    const before = this.#lastTickAt
    this.#lastTickAt = clock.monotonic()
    const union = this.#learned()
    const topic = this.#seenTopic
    const place = this.#placeOf(from)
    const statement = readStatement(union, from)
    let answer: Awaited<ReturnType<typeof tickAndRead>>
    try {
      answer = await this.#asking('a tick', () => tickAndRead(db, statement, signal))
    } catch (error) {
      this.#hinted = true
      throw error
    }
    const { ticked, rows } = answer
    // Its time is that of the database, and no later than now.
    this.#mayTickAt = Math.max(before + 2 * TICK_GAP_MS, clock.monotonic() + LEAST_GAP_MS)
    if (ticked === 'written') moment('events.ticked', 1)
    this.#end = undefined
    if (rows !== undefined) {
      const found = behind(from, rows)
      const page = this.#asking('what is in the log', () => this.#checked(from, found, topic))
      this.#pages.keep(place, page)
    }
    if (ticked !== 'busy') return
    // What was committed since may not be in that of the other process, which may be there only now.
    this.#hinted = true
    this.#end = undefined
  }

  async #hintOrPoll(): Promise<void> {
    const { engine, pollMs } = this.#options
    if (this.#hinted || this.#closed.signal.aborted) return
    await new Promise<void>((resolve) => {
      const done = (): void => {
        timer.cancel()
        release()
        this.#onHint = undefined
        resolve()
      }
      const timer = engine.clock.setTimer(done, pollMs * (0.8 + 0.4 * engine.random()))
      const release = onAbort(this.#closed.signal, done)
      this.#onHint = done
    })
  }
}
