/** The contract between app and component, for rabbitmq. */
import { after } from 'node:test'
import { rabbitmq, type RabbitMQ } from '../../../src/components/rabbitmq/index.ts'
import { componentConformance } from '../../../src/testing/component-conformance.ts'
import { startFaultProxy } from '../../../src/testing/fault-proxy.ts'
import { soakCycles } from '../../support/soak.ts'
import { freePort } from '../redis/own-server.ts'
import { at, ownVhost, until } from './support.ts'

const own = await ownVhost()
after(() => own[Symbol.asyncDispose]())
const nobody = `127.0.0.1:${await freePort()}`

componentConformance({
  name: 'rabbitmq',
  definition: () => rabbitmq(at(own.broker)),
  operation: (api: RabbitMQ, signal: AbortSignal) => api.publish('a', 1, { signal, mandatory: false }),
  unreachable: () => rabbitmq(at(own.broker, { dialTimeout: '2s' }, nobody)),
  canary: {
    secret: 'canary-4711',
    definition: () =>
      rabbitmq({
        url: `amqp://canary-4711:canary-4711@${nobody}/v`,
        password: 'canary-4711',
        user: 'canary-4711',
      }),
  },
  outage: async () => {
    const [host, port] = own.broker.address.split(':')
    const proxy = await startFaultProxy({ target: { host: host!, port: Number(port) } })
    return {
      definition: rabbitmq(at(own.broker, { publishTimeout: '2s' }, proxy.address)),
      begin: async () => {
        await proxy.refuse()
        proxy.reset()
        await until(() => proxy.connections.length === 0)
      },
      end: () => proxy.accept(),
      [Symbol.asyncDispose]: () => proxy.close(),
    }
  },
  cycles: soakCycles(10, 1_000),
  skip: own.skip,
})
