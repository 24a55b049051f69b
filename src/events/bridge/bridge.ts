/**
 * The bridge: what arrives from a broker is written into the log, and acknowledged after the commit.
 *
 *     arrived ──▶ gathered ──▶ remembered and published, one transaction ──▶ acknowledged
 *        │                        └─ the database is away: held, and tried again for as long as the broker lets it
 *        └─ no event, or too large: a dead letter of the broker, with its bytes
 *
 * What set out from this log is in it already, and is only acknowledged.
 */
import { backoffMs } from '../../core/backoff.ts'
import { isSluiceError, SluiceError, toError } from '../../core/errors.ts'
import type { Engine } from '../../engine/engine.ts'
import { Batcher } from '../../pool/batcher.ts'
import type { Logger } from '../../telemetry/log.ts'
import type { CounterCell } from '../../telemetry/metric.ts'
import { topicMatcher } from '../pattern.ts'
import { isOwn } from '../relays/identity.ts'
import type { Arrival, EventBroker, ForeignMapping, Reader } from '../transports/broker.ts'
import { refused } from '../transports/envelope.ts'
import type { Inbox } from './inbox.ts'

export interface BridgeOptions {
  readonly engine: Engine
  readonly log: Logger
  readonly broker: EventBroker
  readonly inbox: Inbox
  /** What ids of this log begin with. */
  readonly source: string
  /** Processes that read under one name share what comes. */
  readonly name: string
  /** Topics that come over; undefined for those that somebody here subscribes to. */
  readonly topics: readonly string[] | undefined
  readonly maxBytes: number
  readonly map: ForeignMapping | undefined
  /** Counts events by what became of them. */
  readonly counted: (outcome: 'stored' | 'known' | 'own') => CounterCell
}

const HELD = 1_000
const BATCH = 500
const BACKOFF = { baseMs: 50, capMs: 2_000 } as const
/** It is held here for as long as the database is away. */
const ATTEMPTS = 1_000
const HANDLER_MS = 24 * 60_000

export class Bridge {
  readonly #options: BridgeOptions
  readonly #batcher: Batcher<Arrival>
  readonly #closing = new AbortController()
  #patterns: readonly string[] = []
  #matches: (topic: string) => boolean = () => false
  #isReading = false
  #from: 'now' | 'beginning' = 'now'
  #reader: Reader | undefined
  /** Changes of the reader come one after another. */
  #turn: Promise<void> = Promise.resolve()

  constructor(options: BridgeOptions) {
    this.#options = options
    const { engine } = options
    this.#batcher = new Batcher<Arrival>({
      name: 'events.bridge',
      write: (events) => this.#write(events),
      maxItems: BATCH,
      maxInFlight: 1,
      maxBytes: 4_194_304,
      sizeOf: ({ body }) => body.length,
      maxWaiting: 100_000,
      clock: engine.clock,
    })
    if (options.topics !== undefined) this.want(options.topics, 'now')
  }

  get patterns(): readonly string[] {
    return this.#patterns
  }

  /** Resolves when everything that others publish from then on comes over. */
  ready(): Promise<void> {
    return this.#turn.then(() => this.#reader?.ready)
  }

  /** Somebody reads these. */
  subscribed(patterns: readonly string[], from: 'now' | 'beginning'): void {
    if (this.#options.topics === undefined) this.want(patterns, from)
  }

  want(patterns: readonly string[], from: 'now' | 'beginning'): void {
    const all = [...new Set([...this.#patterns, ...patterns])].toSorted()
    if (from === 'beginning') this.#from = from
    if (all.length === this.#patterns.length) return
    this.#patterns = all
    this.#matches = topicMatcher(all)
    if (this.#isReading && !this.#options.broker.binds) return
    this.#isReading = true
    this.#turn = this.#turn.then(() => this.#read())
  }

  /** Takes nothing more, and waits for what is being written. */
  async stop(signal?: AbortSignal): Promise<void> {
    this.#closing.abort(new SluiceError('SLUICE_CLOSED', 'the bridge was closed'))
    await this.#turn
    await this.#reader?.stop(signal)
    await this.#batcher.close({ timeout: '5s' })
  }

  /** Never rejects. */
  async #read(): Promise<void> {
    const { broker, name, map, log } = this.#options
    if (this.#closing.signal.aborted) return
    try {
      await this.#reader?.stop()
      this.#reader = broker.read({
        name,
        patterns: this.#patterns,
        matches: (topic) => this.#matches(topic),
        from: this.#from,
        ordered: true,
        exclusive: true,
        concurrency: HELD,
        attempts: ATTEMPTS,
        backoff: BACKOFF,
        timeoutMs: HANDLER_MS,
        map,
        handle: (event) => this.#take(event),
      })
      this.#reader.ready.catch(() => {})
    } catch (error) {
      log.error({ err: toError(error), name }, 'the bridge cannot read from the broker')
    }
  }

  async #take(event: Arrival): Promise<void> {
    const { source, maxBytes, counted } = this.#options
    if (isOwn(source, event.id)) return counted('own').add()
    const bytes = event.body.length * 3 <= maxBytes ? 0 : Buffer.byteLength(event.body)
    if (bytes > maxBytes) throw refused(`its data is ${bytes} bytes, and the limit is ${maxBytes}`)
    await this.#batcher.add(event, { signal: event.signal })
  }

  /** Until the database has taken them: an answer of failure would change their order. */
  async #write(events: readonly Arrival[]): Promise<readonly (void | Error)[]> {
    const { engine, inbox, log, counted } = this.#options
    for (let failures = 1; ; failures++) {
      try {
        const stored = await inbox.store(events)
        counted('stored').add(stored)
        counted('known').add(events.length - stored)
        return events.map(() => undefined)
      } catch (error) {
        if (isOfData(error)) return events.length === 1 ? [notStored(error)] : this.#oneByOne(events)
        if (events.every(({ signal }) => signal.aborted)) throw error
        if (failures === 1)
          log.warn({ err: toError(error) }, 'what came from the broker is held: it cannot be stored')
        await engine.clock.sleep(backoffMs(failures, engine.random(), BACKOFF))
      }
    }
  }

  async #oneByOne(events: readonly Arrival[]): Promise<readonly (void | Error)[]> {
    const answers: (void | Error)[] = []
    for (const event of events) answers.push(...(await this.#write([event])))
    return answers
  }
}

/** The database is there, and refuses what it was given: a data exception, or a limit of what it stores. */
function isOfData(error: unknown): boolean {
  if (!isSluiceError(error)) return false
  const state = error.details?.['sqlstate']
  return typeof state === 'string' && /^(?:22|54)/.test(state)
}

function notStored(error: unknown): SluiceError {
  return new SluiceError('SLUICE_INVALID_DATA', `the database cannot store it: ${toError(error).message}`, {
    cause: error,
  })
}
