/** Topics: what is there, and making those that are not. */
import { waitOrAbort } from '../../../core/abort.ts'
import type { Clock } from '../../../core/clock.ts'
import { hasCode, SluiceError } from '../../../core/errors.ts'
import type { Clients } from '../client/clients.ts'

export interface TopicFacts {
  readonly name: string
  readonly partitions: number
}

export interface CreateTopicOptions {
  /** @default 1 */
  readonly partitions?: number
  /** Copies of each partition. @default what the brokers are set to */
  readonly replicas?: number
  /** Settings of the topic, such as `{ 'retention.ms': '3600000' }`. @default none */
  readonly settings?: Readonly<Record<string, string>>
}

/** Replication factor "as the broker is set", since Kafka 2.4. */
const AS_THE_BROKER = -1
const KNOWN_EVERY_MS = 50
const KNOWN_TRIES = 100

export class TopicAdmin {
  readonly #component: string
  readonly #clients: Clients
  readonly #clock: Clock

  constructor(component: string, clients: Clients, clock: Clock) {
    this.#component = component
    this.#clients = clients
    this.#clock = clock
  }

  async list(signal?: AbortSignal): Promise<readonly string[]> {
    return this.#clients.ask(signal, (admin) => admin.listTopics({}))
  }

  /** Rejects with SLUICE_QUERY where there is no such topic. */
  async partitionsOf(topic: string, signal?: AbortSignal): Promise<number> {
    const metadata = await this.#clients.ask(signal, (admin) =>
      admin.metadata({ topics: [topic], forceUpdate: true }),
    )
    const count = metadata.topics.get(topic)?.partitionsCount ?? 0
    if (count > 0) return count
    throw new SluiceError('SLUICE_QUERY', `${this.#component}: there is no topic "${topic}"`, {
      retryable: true,
      hint: 'Create the topic.',
    })
  }

  /** Makes the topic; false where it is there already. */
  async create(topic: string, options: CreateTopicOptions = {}, signal?: AbortSignal): Promise<boolean> {
    const { partitions = 1, replicas = AS_THE_BROKER, settings = {} } = options
    const configs = Object.entries(settings).map(([name, value]) => ({ name, value }))
    try {
      await this.#clients.ask(signal, (admin) =>
        admin.createTopics({ topics: [topic], partitions, replicas, configs }),
      )
    } catch (error) {
      if (error instanceof SluiceError && error.details?.['answer'] === 'TOPIC_ALREADY_EXISTS') return false
      throw error
    }
    await this.#untilKnown(topic, signal)
    return true
  }

  /** The controller has made it; the broker that is asked next learns of it a moment later. */
  async #untilKnown(topic: string, signal: AbortSignal | undefined): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        await this.partitionsOf(topic, signal)
        return
      } catch (error) {
        signal?.throwIfAborted()
        // It is there all the same; whoever uses it is told if it still cannot be seen.
        if (tries >= KNOWN_TRIES || !hasCode(error, 'SLUICE_QUERY')) return
        await waitOrAbort(this.#clock.sleep(KNOWN_EVERY_MS), signal)
      }
    }
  }

  /** Makes those that are not there. */
  async ensure(topics: readonly string[], partitions: number, signal?: AbortSignal): Promise<void> {
    const there = new Set(await this.list(signal))
    for (const topic of topics) if (!there.has(topic)) await this.create(topic, { partitions }, signal)
  }

  async remove(topics: readonly string[], signal?: AbortSignal): Promise<void> {
    await this.#clients.ask(signal, (admin) => admin.deleteTopics({ topics: [...topics] }))
  }
}
