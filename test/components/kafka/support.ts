/** The shared broker, topics of a test's own on it, a proxy before it, and brokers of one's own. */
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { kafka, type Kafka, type KafkaOptions } from '../../../src/components/kafka/index.ts'
import { isSluiceError, type ErrorCode } from '../../../src/core/errors.ts'
import { connectComponent, type OpenComponent } from '../../../src/testing/connect-component.ts'
import { startFaultProxy, type FaultProxy } from '../../../src/testing/fault-proxy.ts'
import type { Logger } from '../../../src/telemetry/log.ts'
import { cached } from '../../../scripts/services/artifacts.ts'
import { kafka as recipe } from '../../../scripts/services/kafka.ts'
import { endProcess } from '../../../scripts/services/process.ts'
import { ask, launch, prepare, waitUntilUsable, type Running } from '../../../scripts/services/server.ts'
import { freePort } from '../redis/own-server.ts'

/** Address of the shared broker: SLUICE_TEST_KAFKA_BROKERS, else the one that `npm run services` starts. */
export const BROKER = process.env['SLUICE_TEST_KAFKA_BROKERS'] ?? '127.0.0.1:9092'

/** Long enough for a machine that does other things as well. */
export const LIMIT = AbortSignal.timeout(170_000)

function required(reason: string): string {
  if (process.env['SLUICE_REQUIRE_SERVERS'] === '1') throw new Error(`SLUICE_REQUIRE_SERVERS=1 and ${reason}`)
  return reason
}

/** False, or why tests with the shared broker cannot run. */
export async function missingBroker(): Promise<false | string> {
  try {
    await ask(recipe, Number(BROKER.split(':')[1] ?? 9_092))
    return false
  } catch (error) {
    return required(`no kafka at ${BROKER} (${String(error)}); run: npm run services -- start kafka`)
  }
}

export interface Connected extends OpenComponent<Kafka> {
  readonly kafka: Kafka
}

export async function connectKafka(
  options: KafkaOptions = {},
  more: { readonly log?: Logger; readonly appName?: string } = {},
): Promise<Connected> {
  const open = await connectComponent(kafka({ brokers: BROKER, ...options }), { name: 'kafka', ...more })
  return Object.assign(Object.create(open) as OpenComponent<Kafka>, { kafka: open.api })
}

/** A name of a topic and a group that nobody else has. */
export function ownName(): string {
  return `test-${randomUUID()}`
}

export interface Stage extends AsyncDisposable {
  readonly api: Kafka
  readonly open: Connected
  readonly topic: string
  readonly group: string
}

/** A connected component with a topic of its own; what begins with the name of the topic goes with it. */
export async function stage(
  options: KafkaOptions & { readonly partitions?: number } = {},
  more: { readonly log?: Logger } = {},
): Promise<Stage> {
  const { partitions = 1, ...rest } = options
  const open = await connectKafka(rest, more)
  const topic = ownName()
  await open.kafka.createTopic(topic, { partitions })
  return {
    api: open.kafka,
    open,
    topic,
    group: ownName(),
    async [Symbol.asyncDispose]() {
      await removeTopics(topic)
      await open.close()
    },
  }
}

/** With a client of its own: that of the test may be what was broken. */
export async function removeTopics(prefix: string, options: KafkaOptions = {}): Promise<void> {
  await using sweeper = await connectKafka(options)
  const left = (await sweeper.kafka.topics()).filter((name) => name.startsWith(prefix))
  if (left.length > 0) await sweeper.kafka.deleteTopics(left)
}

/** Collects what a handler was given, and waits for so many. */
export class Seen<T> {
  readonly items: T[] = []
  readonly #waiting: { readonly until: (items: readonly T[]) => boolean; readonly resolve: () => void }[] = []

  add(item: T): void {
    this.items.push(item)
    for (const waiter of this.#waiting.splice(0)) {
      if (waiter.until(this.items)) waiter.resolve()
      else this.#waiting.push(waiter)
    }
  }

  count(count: number): Promise<readonly T[]> {
    return this.when((items) => items.length >= count)
  }

  async when(until: (items: readonly T[]) => boolean): Promise<readonly T[]> {
    if (!until(this.items)) await new Promise<void>((resolve) => this.#waiting.push({ until, resolve }))
    return this.items
  }
}

export const hasCode =
  (...codes: readonly ErrorCode[]) =>
  (error: unknown): boolean => {
    if (isSluiceError(error) && codes.includes(error.code)) return true
    throw error
  }

/** The proxy before the shared broker's second listener. One test has it at a time, over all files. */
export async function proxied(): Promise<{ readonly proxy: FaultProxy; readonly brokers: string }> {
  const first = Number(BROKER.split(':')[1] ?? 9_092)
  for (;;) {
    try {
      const proxy = await startFaultProxy({ target: { host: '127.0.0.1', port: first + 2 }, port: first + 3 })
      return { proxy, brokers: proxy.address }
    } catch (error) {
      if (LIMIT.aborted) throw error
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
}

export interface OwnBroker extends AsyncDisposable {
  readonly brokers: string
  readonly port: number
  /** A port of a further listener, `EXTRA`, that `settings` may describe. */
  readonly extraPort: number
  /** SIGKILL. */
  kill(): Promise<void>
  start(): Promise<void>
  /** SIGSTOP: connections stay, nothing answers. */
  freeze(): void
  thaw(): void
}

/** Why there can be none here, or false. */
export async function missingOwnBroker(): Promise<false | string> {
  if ((await cached(recipe)) !== undefined) return false
  return required('the jars of Kafka are not there; run once: npm run services -- start kafka')
}

/** A broker to break. `settings` are lines of its properties. */
export async function ownBroker(
  settings: (
    ports: Readonly<Record<'port' | 'controller' | 'extra', number>>,
  ) => Readonly<Record<string, string>> = () => ({}),
): Promise<OwnBroker> {
  const jars = await cached(recipe)
  if (jars === undefined) throw new Error('no jars')
  const directory = await mkdtemp(join(tmpdir(), 'sluice-kafka-'))
  const [port, controller, behind, extraPort] = [
    await freePort(),
    await freePort(),
    await freePort(),
    await freePort(),
  ]
  const ports = { port, controller, behind, proxy: behind }
  const placement = {
    host: '127.0.0.1',
    ports,
    directory,
    jars,
    heapMb: 192,
    quick: true,
    settings: settings({ port, controller, extra: extraPort }),
  }
  await prepare(recipe, placement)
  let running: Running | undefined
  const broker: OwnBroker = {
    brokers: `127.0.0.1:${port}`,
    port,
    extraPort,
    async start() {
      running = await launch(recipe, placement)
      await waitUntilUsable(recipe, port, running)
    },
    async kill() {
      const gone = running
      running = undefined
      if (gone === undefined) return
      process.kill(gone.pid, 'SIGKILL')
      await endProcess(gone.pid, gone.birth, 10_000)
    },
    freeze: () => void (running === undefined || process.kill(running.pid, 'SIGSTOP')),
    thaw: () => void (running === undefined || process.kill(running.pid, 'SIGCONT')),
    async [Symbol.asyncDispose]() {
      await broker.kill()
      await rm(directory, { recursive: true, force: true })
    },
  }
  try {
    await broker.start()
  } catch (error) {
    await broker[Symbol.asyncDispose]()
    throw error
  }
  return broker
}
