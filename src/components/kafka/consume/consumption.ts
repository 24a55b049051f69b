/** One `consume`: a reader of the topics and one for each delay of its retry topics, under one handle. */
import type { Clock } from '../../../core/clock.ts'
import { SluiceError } from '../../../core/errors.ts'
import type { Logger } from '../../../telemetry/log.ts'
import type { Metrics } from '../../../telemetry/metric.ts'
import type { Operations } from '../../../telemetry/operate.ts'
import { hasTraceSdk } from '../../../telemetry/otel-api.ts'
import { runInTrace, startSpan } from '../../../telemetry/trace.ts'
import type { Lag, OffsetAdmin } from '../admin/offsets.ts'
import type { TopicAdmin } from '../admin/topics.ts'
import type { Clients } from '../client/clients.ts'
import type { RawMessage } from '../client/peer.ts'
import type { Sender } from '../publish/sender.ts'
import { Handling, HEADERS, type MessageHandler } from './failure.ts'
import type { KafkaMessage } from './message.ts'
import { deadTopic, redrivenTopic, retryTopic } from './names.ts'
import type { CheckedConsume, Position } from './options.ts'
import { Reader } from './reader.ts'

export interface ConsumptionStats {
  readonly handled: number
  /** Calls of the handler that failed. */
  readonly failed: number
  /** Put into a retry topic. */
  readonly retried: number
  readonly dead: number
  /** Members that failed and were built anew. */
  readonly rebuilds: number
  readonly running: number
  /** Received and not finished. */
  readonly held: number
  readonly heldBytes: number
  readonly partitions: number
}

/** A running `consume`. Ended with the component, or by `stop`. */
export interface Consumption extends AsyncDisposable {
  readonly group: string
  readonly topics: readonly string[]
  /** Resolves when it has joined its group for the first time. */
  readonly ready: Promise<void>
  stats(): ConsumptionStats
  /** Stops fetching; what was received is handled. Membership stays. */
  pause(): void
  resume(): void
  lag(): Promise<Lag>
  /**
   * Goes on from there, with the partitions that this process has: commits the position and forgets what it holds.
   * Handlers that run come to their end.
   */
  seek(position: Position): Promise<void>
  /** Takes nothing new, waits for handlers that run, commits, leaves the group. */
  stop(signal?: AbortSignal): Promise<void>
}

export interface ConsumptionOptions {
  readonly component: string
  readonly consume: CheckedConsume
  readonly handler: MessageHandler
  readonly clients: Clients
  readonly operations: Operations
  readonly sender: Sender
  readonly topicAdmin: TopicAdmin
  readonly offsetAdmin: OffsetAdmin
  readonly clock: Clock
  readonly random: () => number
  readonly log: Logger
  readonly metrics: Metrics
  readonly onStopped: () => void
}

type Outcome = 'handled' | 'failed' | 'retried' | 'dead'

const FORWARD = { name: 'forward', idempotent: false }
const STOP_LIMIT_MS = 30_000

export class RunningConsumption implements Consumption {
  readonly #options: ConsumptionOptions
  readonly #stopping = new AbortController()
  readonly #readers: readonly Reader[]
  readonly #counts = { handled: 0, failed: 0, retried: 0, dead: 0 }
  #started = false
  #stopped: Promise<void> | undefined
  #prepared = false

  constructor(options: ConsumptionOptions) {
    this.#options = options
    const { consume, component, handler, sender, operations, clock, random, log } = options
    const counters = this.#counters()
    const handling = new Handling({
      component,
      consume,
      handler: traced(component, handler),
      forward: (record) => operations.run(FORWARD, (call) => sender.send([record], call.signal)),
      clock,
      random,
      log,
      stopping: this.#stopping.signal,
      onEvent: (what) => {
        this.#counts[what] += 1
        counters[what].add()
      },
    })
    const sources = consume.topics
    const main = consume.deadLetter
      ? [...sources, ...sources.map((topic) => redrivenTopic(topic, consume.group))]
      : sources
    this.#readers = [
      this.#reader(handling, 0, main, consume.group),
      ...consume.retryMs.map((_delay, index) =>
        this.#reader(
          handling,
          index + 1,
          sources.map((topic) => retryTopic(topic, consume.group, index + 1)),
          `${consume.group}.retry.${index + 1}`,
        ),
      ),
    ]
  }

  get group(): string {
    return this.#options.consume.group
  }
  get topics(): readonly string[] {
    return this.#options.consume.topics
  }
  get ready(): Promise<void> {
    return Promise.all(this.#readers.map((reader) => reader.joined)).then(() => undefined)
  }

  /** The component is connected. */
  async start(): Promise<void> {
    if (this.#started || this.#stopped !== undefined) return
    this.#started = true
    await Promise.all(this.#readers.map((reader) => reader.start()))
  }

  stats(): ConsumptionStats {
    const parts = this.#readers.map((reader) => reader.inspect())
    const sum = (what: string): number => parts.reduce((total, part) => total + Number(part[what]), 0)
    return {
      ...this.#counts,
      rebuilds: sum('rebuilds'),
      running: sum('running'),
      held: sum('held'),
      heldBytes: sum('bytes'),
      partitions: Number(parts[0]!['partitions']),
    }
  }

  pause(): void {
    for (const reader of this.#readers) reader.pause(true)
  }

  resume(): void {
    for (const reader of this.#readers) reader.pause(false)
  }

  lag(): Promise<Lag> {
    return this.#options.offsetAdmin.lag(this.topics, this.group)
  }

  async seek(position: Position): Promise<void> {
    const { offsetAdmin, component } = this.#options
    if (!this.#started || this.#stopped !== undefined)
      throw new SluiceError(
        'SLUICE_NOT_READY',
        `${component}: the consumer of "${this.group}" does not run`,
        { retryable: true },
      )
    const sources = new Set(this.topics)
    await this.#readers[0]!.seek(async (places) => {
      const own = places.filter(({ topic }) => sources.has(topic))
      const targets = await offsetAdmin.find(own, position)
      return targets.map((target) => ({ ...target, leaderEpoch: -1 }))
    })
  }

  /** No new work; called before `stop` when the app shuts down. */
  halt(): void {
    for (const reader of this.#readers) reader.halt()
  }

  stop(signal: AbortSignal = AbortSignal.timeout(STOP_LIMIT_MS)): Promise<void> {
    this.#stopped ??= this.#stop(signal)
    return this.#stopped
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #stop(signal: AbortSignal): Promise<void> {
    this.halt()
    // Retries that wait are given up: their messages come again.
    this.#stopping.abort(new SluiceError('SLUICE_SHUTDOWN', 'the consumer stops'))
    await Promise.all(this.#readers.map((reader) => reader.stop(signal)))
    this.#options.onStopped()
  }

  #reader(handling: Handling, level: number, topics: readonly string[], group: string): Reader {
    const { consume, component, clients, operations, clock, random, log } = this.#options
    const { from } = consume
    return new Reader({
      component,
      group,
      topics,
      // What is in a retry topic was put there for this group.
      from: level === 0 && from === 'end' ? 'end' : 'beginning',
      instanceId: consume.instanceId,
      sessionTimeoutMs: consume.sessionTimeoutMs,
      concurrency: consume.concurrency,
      order: consume.order,
      maxBytes: consume.maxBytes,
      commitMs: consume.commitMs,
      clients,
      operations,
      clock,
      random,
      log,
      attemptOf: (raw) => attemptOf(raw),
      handle: (message) => handling.handle(message, level),
      before: (signal) => this.#prepare(signal),
    })
  }

  /** The topics of failures are made as wide as those that they belong to. */
  async #prepare(signal: AbortSignal): Promise<void> {
    if (this.#prepared) return
    const { consume, topicAdmin, offsetAdmin } = this.#options
    for (const topic of consume.topics) {
      const partitions = await topicAdmin.partitionsOf(topic, signal)
      if (!consume.deadLetter) continue
      const names = [
        deadTopic(topic, consume.group),
        redrivenTopic(topic, consume.group),
        ...consume.retryMs.map((_delay, index) => retryTopic(topic, consume.group, index + 1)),
      ]
      await topicAdmin.ensure(names, partitions, signal)
    }
    if (typeof consume.from === 'object')
      await offsetAdmin.begin(consume.topics, consume.group, consume.from, signal)
    this.#prepared = true
  }

  #counters(): Record<Outcome, { add(): void }> {
    const { metrics, component, consume } = this.#options
    const counter = metrics.counter(
      'sluice_kafka_messages_total',
      'Messages of consumers, by what became of them.',
    )
    const of = (outcome: string): { add(): void } => {
      const cell = counter.with({ component, group: consume.group, outcome })
      return { add: () => cell.add() }
    }
    return { handled: of('handled'), failed: of('failed'), retried: of('retried'), dead: of('dead') }
  }
}

/** A message that was handed over carries how often it was tried. */
function attemptOf(raw: RawMessage): number {
  if (raw.headerEntries.length === 0) return 1
  for (const [name, value] of raw.headerEntries) {
    if (name.toString() !== HEADERS.attempts) continue
    const tried = Number(value.toString())
    return Number.isSafeInteger(tried) && tried > 0 && tried < 1_000_000 ? tried + 1 : 1
  }
  return 1
}

/** The span of the handler belongs to the trace of whoever published. Without an SDK it costs one look. */
function traced(component: string, handler: MessageHandler): MessageHandler {
  return (message: KafkaMessage) => {
    if (!hasTraceSdk()) return handler(message)
    const { headers } = message
    return runInTrace(headers['ce_traceparent'] ?? headers['traceparent'], () => {
      const span = startSpan(`${component} process`, {
        kind: 'internal',
        attributes: {
          'sluice.component': component,
          'messaging.system': 'kafka',
          'messaging.destination.name': message.topic,
        },
      })
      if (span === undefined) return handler(message)
      return span.run(async () => {
        try {
          const value = await handler(message)
          span.end()
          return value
        } catch (error) {
          span.end(error)
          throw error
        }
      })
    })
  }
}
