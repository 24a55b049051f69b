/**
 * Short runs of `npm run chaos -- relay` and `-- community`. Kafka is one of the run's own, which is killed; RabbitMQ is
 * the one that is there, in a virtual host and behind a proxy of the run's own, since its start takes longer than the run.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { missingBrokerServer, type BrokerServer } from '../../scripts/chaos/brokers/broker.ts'
import { BROKER_FAULTS, brokerFaults, type BrokerFault } from '../../scripts/chaos/brokers/faults.ts'
import { communityFailed, runCommunity } from '../../scripts/chaos/community/run.ts'
import { formatCommunityReport } from '../../scripts/chaos/community/report.ts'
import { formatRelayReport } from '../../scripts/chaos/relay/report.ts'
import { relayFailed, runRelay } from '../../scripts/chaos/relay/run.ts'
import { startFaultProxy } from '../../src/testing/fault-proxy.ts'
import { seededRandom } from '../../src/testing/seeded-random.ts'
import { ownVhost } from '../components/rabbitmq/support.ts'
import { serverAt } from '../support/servers.ts'

const postgres = await serverAt('postgres')
const dsn = postgres.skip === false ? postgres.url : undefined
const missing = { rabbitmq: (await serverAt('rabbitmq')).skip, kafka: await missingBrokerServer('kafka') }
/** Half a minute on two processors to itself. */
const LIMIT_MS = 170_000
const short = { longestMs: 500, drainMs: 100_000, workers: 1, dsn, log: () => {} } as const

for (const [transport, seed, faults] of [
  ['rabbitmq', 21, ['unanswered', 'cut']],
  ['kafka', 22, ['unanswered', 'kill']],
] as const satisfies readonly (readonly [string, number, readonly BrokerFault[]])[]) {
  test(
    `a short run of a relay over ${transport} loses nothing, and does nothing twice`,
    { skip: missing[transport], timeout: LIMIT_MS },
    async () => {
      const report = await runRelay({
        ...short,
        transport,
        ...(transport === 'rabbitmq' && { open: sharedRabbit }),
        faults,
        seed,
        kills: 3,
        freezes: 0,
        stops: 1,
        clients: 1,
        paceMs: 1_000,
      })
      assert.equal(relayFailed(report), false, formatRelayReport(report))
      assert.equal(report.healings.length, faults.length)
      assert.ok(report.kills >= 3 && report.stops >= 1, formatRelayReport(report))
    },
  )
}

test(
  'a short run of the community over rabbitmq loses nothing, and all that follows is as it must be',
  { skip: missing.rabbitmq, timeout: LIMIT_MS },
  async () => {
    const report = await runCommunity({
      ...short,
      transport: 'rabbitmq',
      open: sharedRabbit,
      faults: ['cut', 'unanswered'],
      seed: 23,
      kills: 2,
      users: 8,
      rate: 30,
      paceMs: 500,
    })
    assert.equal(communityFailed(report), false, formatCommunityReport(report))
    assert.match(report.output, /^everything is as it must be$/m)
  },
)

test('each fault befalls the broker as often as it is asked for, in the order of the seed', () => {
  const faults = brokerFaults(3, seededRandom(1))
  for (const fault of BROKER_FAULTS) assert.equal(faults.filter((each) => each === fault).length, 3, fault)
  assert.deepEqual(faults, brokerFaults(3, seededRandom(1)))
  assert.notDeepEqual(faults, brokerFaults(3, seededRandom(2)))
})

/** Nobody else's connections are touched; the server itself cannot be broken. */
async function sharedRabbit(): Promise<BrokerServer> {
  const own = await ownVhost()
  const { address, vhost, user, password } = own.broker
  const [host = '', port = ''] = address.split(':')
  const proxy = await startFaultProxy({ target: { host, port: Number(port) } })
  const refuse = (): never => assert.fail('the server is not ours')
  return {
    kind: 'rabbitmq',
    title: 'RabbitMQ, shared',
    proxy,
    env: {
      MQ_HOST: proxy.host,
      MQ_PORT: String(proxy.port),
      MQ_VHOST: vhost,
      MQ_USER: user,
      MQ_PASSWORD: password,
    },
    start: refuse,
    kill: refuse,
    stop: refuse,
    freeze: refuse,
    thaw: refuse,
    async [Symbol.asyncDispose]() {
      await proxy.close()
      await own[Symbol.asyncDispose]()
    },
  }
}
