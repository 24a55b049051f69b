/** Apache Kafka as one process that is broker and controller (KRaft). */
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { exchange } from './exchange.ts'
import { jvm, type Placement, type Recipe } from './service.ts'

const VERSION = '4.2.0'

/**
 * Ports: `port` for clients, `controller`, and `behind`, a second listener for clients that come through a proxy on the
 * port `proxy`: a broker tells its clients where to connect, so whoever wants to stand between them needs a listener that
 * is advertised as the proxy. Nothing listens on `proxy` until somebody starts one.
 */
export const kafka: Recipe = {
  name: 'kafka',
  title: `Apache Kafka ${VERSION}`,
  artifacts: [
    { coordinates: `org.apache.kafka:kafka_2.13:${VERSION}`, as: 'classpath' },
    { coordinates: 'org.slf4j:slf4j-simple:1.7.36', as: 'classpath' },
  ],
  ports: { port: 9092, controller: 9093, behind: 9094, proxy: 9095 },
  heapMb: 320,
  prepare: async (placement) => {
    await writeFile(join(placement.directory, 'server.properties'), properties(placement))
    return [java(placement, 'kafka.tools.StorageTool', ['format', '-t', clusterId(randomBytes(16))])]
  },
  command: (placement) => java(placement, 'kafka.Kafka', []),
  probe: async (host, port, signal) => {
    const hello = metadataRequest()
    const answer = await exchange({ host, port, hello, isWhole, signal })
    return `Kafka, ${brokersIn(answer)}`
  },
  address: (host, port) => `KAFKA_BROKERS=${host}:${port}`,
}

function java(placement: Placement, main: string, args: readonly string[]) {
  const config = join(placement.directory, 'server.properties')
  const rest = main === 'kafka.Kafka' ? [config] : [...args, '-c', config]
  return {
    program: 'java',
    args: [
      ...jvm(placement.heapMb, join(placement.jars, '*'), placement.quick || main !== 'kafka.Kafka'),
      main,
      ...rest,
    ],
  }
}

function properties({ host, ports, directory, settings }: Placement): string {
  const at = (name: string): string => `${host}:${ports[name]}`
  const all: Record<string, string | number> = {
    'process.roles': 'broker,controller',
    'node.id': 1,
    'controller.quorum.voters': `1@${at('controller')}`,
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAINTEXT',
    listeners: `PLAINTEXT://${at('port')},CONTROLLER://${at('controller')},BEHIND://${at('behind')}`,
    'advertised.listeners': `PLAINTEXT://${at('port')},BEHIND://${at('proxy')}`,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,BEHIND:PLAINTEXT',
    'log.dirs': join(directory, 'data'),
    // One broker: what is replicated three times elsewhere is kept once, in few partitions, so that it is there at once.
    ...internalTopic('offsets.topic'),
    ...internalTopic('transaction.state.log'),
    ...internalTopic('share.coordinator.state.topic'),
    'transaction.state.log.min.isr': 1,
    'share.coordinator.state.topic.min.isr': 1,
    // A group of tests starts at once, and a crashed member may be found after a second.
    'group.initial.rebalance.delay.ms': 0,
    'group.min.session.timeout.ms': 1_000,
    // After kill -9 the broker may come back when the controller takes its last life for over.
    'broker.session.timeout.ms': 3_000,
    'broker.heartbeat.interval.ms': 500,
    // Small: few threads, and 16 MB instead of 128 for the log cleaner.
    'num.network.threads': 2,
    'num.io.threads': 4,
    'background.threads': 2,
    'log.cleaner.dedupe.buffer.size': 16_777_216,
    ...settings,
  }
  return Object.entries(all)
    .map(([key, value]) => `${key}=${value}\n`)
    .join('')
}

function internalTopic(prefix: string): Record<string, number> {
  return { [`${prefix}.replication.factor`]: 1, [`${prefix}.num.partitions`]: 4 }
}

/** Metadata, version 1, of no topic: answered by a broker that has joined its cluster. */
function metadataRequest(): Buffer {
  const client = Buffer.from('sluice-services')
  const request = Buffer.alloc(4 + 2 + 2 + 4 + 2 + client.length + 4)
  request.writeInt32BE(request.length - 4, 0)
  request.writeInt16BE(3, 4) // the key of Metadata
  request.writeInt16BE(1, 6)
  request.writeInt32BE(7, 8) // the correlation id
  request.writeInt16BE(client.length, 12)
  client.copy(request, 14)
  request.writeInt32BE(0, 14 + client.length) // no topics
  return request
}

function isWhole(answer: Buffer): boolean {
  return answer.length >= 4 && answer.length >= 4 + answer.readInt32BE(0)
}

function brokersIn(answer: Buffer): string {
  if (answer.length < 12 || answer.readInt32BE(4) !== 7)
    throw new Error('it does not speak the protocol of Kafka')
  const brokers = answer.readInt32BE(8)
  if (brokers < 1) throw new Error('it knows no broker yet')
  return brokers === 1 ? 'one broker' : `${brokers} brokers`
}

/** As Kafka's own: what begins with a dash is taken for an option by its tools. */
export function clusterId(random: Buffer): string {
  return Buffer.from([random[0]! & 0x7f, ...random.subarray(1)]).toString('base64url')
}
