/** The components of a service whose events travel by a broker, and how such a process says that it works. */
import { kafka } from '../../../src/components/kafka/index.ts'
import { postgres } from '../../../src/components/postgres/index.ts'
import { rabbitmq } from '../../../src/components/rabbitmq/index.ts'
import { events } from '../../../src/events/index.ts'
import type { Recorder } from '../record.ts'
import { runApp } from './client.ts'
import { setting } from './setting.ts'

const { MQ_HOST, MQ_PORT = '5672', MQ_VHOST = '/', MQ_USER = 'guest', MQ_PASSWORD = 'guest' } = process.env
const { KAFKA_BROKERS } = process.env

export function travelling() {
  return {
    db: postgres(setting.database),
    events: events({ transport: 'auto', partitions: 3 }),
    // One of them has an address.
    rabbitmq: rabbitmq(
      MQ_HOST === undefined
        ? {}
        : { host: MQ_HOST, port: Number(MQ_PORT), vhost: MQ_VHOST, user: MQ_USER, password: MQ_PASSWORD },
    ),
    // A process that was killed has its partitions until it is missed.
    kafka: kafka(KAFKA_BROKERS === undefined ? {} : { brokers: KAFKA_BROKERS, sessionTimeout: '3s' }),
  }
}

type App = Parameters<typeof runApp>[0]

/** It works when its service does: the broker may be away. `working` resolves then. */
export function runTravelling(
  app: App,
  recorder: Recorder,
  working: Promise<void>,
  beforeStop?: () => void,
): Promise<void> {
  const ready = (): Promise<void> => Promise.race([working, app.init.ready().then(() => working)])
  const running: App = { start: () => app.start(), stop: () => app.stop(), init: { ready } }
  return runApp(running, recorder, beforeStop)
}
