/** RabbitMQ behind a proxy. */
import { ownBroker } from '../../../test/components/rabbitmq/own-broker.ts'
import { startFaultProxy } from '../../../src/testing/fault-proxy.ts'
import type { BrokerServer } from './server.ts'

/** in: Erlang · out: the version of the broker, as a text in quotes */
const VERSION = '{ok, V} = application:get_key(rabbit, vsn), V.'

export async function startRabbit(): Promise<BrokerServer> {
  const own = await ownBroker()
  const [host = '', port = ''] = own.broker.address.split(':')
  try {
    const version = (await own.eval(VERSION)).trim().replaceAll('"', '')
    const proxy = await startFaultProxy({ target: { host, port: Number(port) } })
    return {
      kind: 'rabbitmq',
      title: `RabbitMQ ${version}`,
      proxy,
      env: { MQ_HOST: proxy.host, MQ_PORT: String(proxy.port) },
      start: () => own.start(),
      kill: () => own.kill(),
      stop: () => own.stop(),
      freeze: () => own.freeze(),
      thaw: () => own.thaw(),
      async [Symbol.asyncDispose]() {
        await proxy.close()
        await own[Symbol.asyncDispose]()
      },
    }
  } catch (error) {
    await own[Symbol.asyncDispose]()
    throw error
  }
}
