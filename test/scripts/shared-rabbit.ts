/** The RabbitMQ that is there as the broker of a chaos run: in a virtual host and behind a proxy of the run's own. */
import assert from 'node:assert/strict'
import type { BrokerServer } from '../../scripts/chaos/brokers/server.ts'
import { startFaultProxy } from '../../src/testing/fault-proxy.ts'
import { ownVhost } from '../components/rabbitmq/support.ts'

/** Nobody else's connections are touched; the server itself cannot be broken. */
export async function sharedRabbit(): Promise<BrokerServer> {
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
