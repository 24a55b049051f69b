/** The contract between app and component. */
import { after } from 'node:test'
import { kafka, type Kafka } from '../../../src/components/kafka/index.ts'
import { componentConformance } from '../../../src/testing/component-conformance.ts'
import { soakCycles } from '../../support/soak.ts'
import { BROKER, missingBroker, connectKafka, ownName, proxied, removeTopics } from './support.ts'

const skip = await missingBroker()
const topic = ownName()
if (skip === false) {
  await using open = await connectKafka()
  await open.kafka.createTopic(topic)
  after(() => removeTopics(topic))
}

const operation = (api: Kafka, signal: AbortSignal): PromiseLike<unknown> =>
  api.publish(topic, 'x', { signal })
const nobody = '127.0.0.1:1'

componentConformance({
  name: 'kafka',
  definition: () => kafka({ brokers: BROKER }),
  operation,
  unreachable: () => kafka({ brokers: nobody, dialTimeout: '2s' }),
  canary: {
    secret: 'canary-4711',
    definition: () =>
      kafka({
        brokers: nobody,
        securityProtocol: 'SASL_PLAINTEXT',
        saslUsername: 'user',
        saslPassword: 'canary-4711',
      }),
  },
  outage: async () => {
    const { proxy, brokers } = await proxied()
    return {
      definition: kafka({ brokers, requestTimeout: '3s' }),
      begin: async () => {
        await proxy.refuse()
        proxy.reset()
      },
      end: () => proxy.accept(),
      [Symbol.asyncDispose]: () => proxy.close(),
    }
  },
  cycles: soakCycles(10, 200),
  skip,
})
