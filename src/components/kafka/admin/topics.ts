/** Topics: what is there, and making those that are not. */
import { SluiceError } from '../../../core/errors.ts'
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

export class TopicAdmin {
  readonly #component: string
  readonly #clients: Clients

  constructor(component: string, clients: Clients) {
    this.#component = component
    this.#clients = clients
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
      return true
    } catch (error) {
      if (error instanceof SluiceError && error.details?.['answer'] === 'TOPIC_ALREADY_EXISTS') return false
      throw error
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
