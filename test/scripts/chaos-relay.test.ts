/** The relay over RabbitMQ, the one that is there, as a start of its own would take longer than the run. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BROKER_FAULTS, brokerFaults } from '../../scripts/chaos/brokers/faults.ts'
import { seededRandom } from '../../src/testing/seeded-random.ts'
import { serverAt } from '../support/servers.ts'
import { sharedRabbit } from './shared-rabbit.ts'
import { LIMIT_MS, shortRelay } from './short-relay.ts'

const { skip } = await serverAt('rabbitmq')

test(
  'a short run of a relay over rabbitmq loses nothing, and does nothing twice',
  { skip, timeout: LIMIT_MS },
  () => shortRelay('rabbitmq', ['unanswered', 'cut'], sharedRabbit),
)

test('each fault befalls the broker as often as it is asked for, in the order of the seed', () => {
  const faults = brokerFaults(3, seededRandom(1))
  for (const fault of BROKER_FAULTS) assert.equal(faults.filter((each) => each === fault).length, 3, fault)
  assert.deepEqual(faults, brokerFaults(3, seededRandom(1)))
  assert.notDeepEqual(faults, brokerFaults(3, seededRandom(2)))
})
