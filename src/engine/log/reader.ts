/**
 * Reads the log for all subscriptions of this process. Those that stand at the same place share one read: each page is
 * asked for once, and handed to all of them.
 *
 * While a reader has nothing to read it waits for a hint that something was published, or for the next poll, and then
 * writes a tick where there is something to see. One that is behind needs no tick; so under load ticks come about as
 * fast as readers follow, at most one in ten milliseconds.
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
import { TICK_GAP_MS, writeTick } from './tick.ts'
import type { Topics } from './topics.ts'
import { nextWindow, readPage, type Page, type Position } from './window.ts'

/** Topic of the hints that something was published. */
export const LOG = 'log'

/** Pages that are kept for those who come to the same place a little later. */
const MAX_KEPT_PAGES = 4

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
  readonly #pages = new Map<string, Promise<Page | undefined>>()
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
    await Promise.allSettled(this.#pages.values())
    this.#pages.clear()
  }

  async #next(from: Position, signal: AbortSignal): Promise<Page> {
    for (;;) {
      signal.throwIfAborted()
      this.#closed.signal.throwIfAborted()
      const page = await waitOrAbort(this.#page(from), signal)
      if (page !== undefined) return page
      await waitOrAbort(this.#advance(), signal)
    }
  }

  /** Undefined where there is no later tick. */
  #page(from: Position): Promise<Page | undefined> {
    const key = `${this.#generation}:${from.tick}:${from.till ?? ''}:${from.pos}`
    let page = this.#pages.get(key)
    if (page !== undefined) return page
    page = this.#asking('what is in the log', () => this.#read(from))
    this.#pages.set(key, page)
    page.then(
      (found) => {
        if (found === undefined) this.#pages.delete(key)
      },
      () => this.#pages.delete(key),
    )
    for (const oldest of this.#pages.keys()) {
      if (this.#pages.size <= MAX_KEPT_PAGES) break
      this.#pages.delete(oldest)
    }
    return page
  }

  async #read(from: Position): Promise<Page | undefined> {
    const { engine, topics } = this.#options
    let { till } = from
    let newestTopic = topics.newest
    if (till === null) {
      const window = await nextWindow(engine.db, from.tick)
      if (window === undefined) return undefined
      ;({ till, newestTopic } = window)
    }
    await this.#know(newestTopic)
    const page = await readPage(engine.db, this.#union, from, till)
    moment('events.read', page.rows.length)
    return page
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

  /** A page that was read for fewer topics is of no use to the others, so that its key must not be found again. */
  #recount(): void {
    const union = new Set<number>()
    for (const { topics } of this.#interests) for (const id of topics) union.add(id)
    this.#union = [...union]
    this.#generation++
  }

  /** Resolves when there may be a later tick. All who wait share one. */
  #advance(): Promise<void> {
    this.#advancing ??= this.#tick().finally(() => (this.#advancing = undefined))
    return this.#advancing
  }

  async #tick(): Promise<void> {
    const { clock, db } = this.#options.engine
    const { signal } = this.#closed
    await this.#hintOrPoll()
    signal.throwIfAborted()
    const wait = this.#lastTickAt + TICK_GAP_MS - clock.monotonic()
    if (wait > 0) await clock.sleep(wait, { signal })
    this.#hinted = false
    this.#lastTickAt = clock.monotonic()
    let ticked: Awaited<ReturnType<typeof writeTick>>
    try {
      ticked = await this.#asking('a tick', () => writeTick(db, signal))
    } catch (error) {
      this.#hinted = true
      throw error
    }
    // What was committed since may not be in that of the other process.
    if (ticked === 'busy') this.#hinted = true
    if (ticked === 'written') moment('events.ticked', 1)
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
