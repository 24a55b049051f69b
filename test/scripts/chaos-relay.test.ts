/**
 * Short runs of `npm run chaos -- relay`. Kafka is one of the run's own, which is killed; RabbitMQ is the one that is
 * there, as its start would take longer than the run.
 */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { missingBrokerServer } from '../../scripts/chaos/brokers/broker.ts'
import { BROKER_FAULTS, brokerFaults, type BrokerFault } from '../../scripts/chaos/brokers/faults.ts'
import { formatRelayReport } from '../../scripts/chaos/relay/report.ts'
import { relayFailed, runRelay } from '../../scripts/chaos/relay/run.ts'
import { seededRandom } from '../../src/testing/seeded-random.ts'
import { serverAt } from '../support/servers.ts'
import { sharedRabbit } from './shared-rabbit.ts'

const postgres = await serverAt('postgres')
const missing = { rabbitmq: (await serverAt('rabbitmq')).skip, kafka: await missingBrokerServer('kafka') }
/** Half a minute on two processors to itself. */
const LIMIT_MS = 170_000

const RUNS = [
  ['rabbitmq', 21, ['unanswered', 'cut']],
  ['kafka', 22, ['unanswered', 'kill']],
] as const satisfies readonly (readonly [string, number, readonly BrokerFault[]])[]

suite('a short run', { concurrency: 2, timeout: LIMIT_MS }, () => {
  for (const [transport, seed, faults] of RUNS) {
    const options = { skip: missing[transport], timeout: LIMIT_MS }
    test(`of a relay over ${transport} loses nothing, and does nothing twice`, options, async () => {
      const report = await runRelay({
        transport,
        ...(transport === 'rabbitmq' && { open: sharedRabbit }),
        faults,
        longestMs: 500,
        seed,
        kills: 3,
        freezes: 0,
        stops: 1,
        workers: 1,
        clients: 1,
        paceMs: 1_000,
        drainMs: 100_000,
        dsn: postgres.skip === false ? postgres.url : undefined,
        log: () => {},
      })
      assert.equal(relayFailed(report), false, formatRelayReport(report))
      assert.equal(report.healings.length, faults.length)
      assert.ok(report.kills >= 3 && report.stops >= 1, formatRelayReport(report))
    })
  }
})

test('each fault befalls the broker as often as it is asked for, in the order of the seed', () => {
  const faults = brokerFaults(3, seededRandom(1))
  for (const fault of BROKER_FAULTS) assert.equal(faults.filter((each) => each === fault).length, 3, fault)
  assert.deepEqual(faults, brokerFaults(3, seededRandom(1)))
  assert.notDeepEqual(faults, brokerFaults(3, seededRandom(2)))
})
