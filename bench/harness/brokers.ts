/** A broker's component as services of a benchmark use it; what they make is named after `channel`. */
import type { ComponentBase, ComponentDefinition } from '../../src/app/component.ts'
import { kafka } from '../../src/components/kafka/index.ts'
import { rabbitmq } from '../../src/components/rabbitmq/index.ts'
import { connectComponent, type OpenComponent } from '../../src/testing/connect-component.ts'

export type BrokerKind = 'rabbitmq' | 'kafka'

export const MQ_URL = process.env['MQ_URL'] ?? 'amqp://guest:guest@127.0.0.1:5672'
export const KAFKA_BROKERS = process.env['KAFKA_BROKERS'] ?? '127.0.0.1:9092'

export function openBroker(kind: BrokerKind, channel: string): Promise<OpenComponent<ComponentBase>> {
  const definition =
    kind === 'kafka' ? kafka({ brokers: KAFKA_BROKERS }) : rabbitmq({ url: MQ_URL, exchange: channel })
  return connectComponent(definition as ComponentDefinition<ComponentBase>, { name: 'broker' })
}
