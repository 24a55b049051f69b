/** The relay over a Kafka of the run's own, which is killed. */
import { test } from 'node:test'
import { missingBrokerServer } from '../../scripts/chaos/brokers/broker.ts'
import { LIMIT_MS, shortRelay } from './short-relay.ts'

const skip = await missingBrokerServer('kafka')

test(
  'a short run of a relay over kafka loses nothing, and does nothing twice',
  { skip, timeout: LIMIT_MS },
  () => shortRelay('kafka', ['unanswered', 'kill']),
)
