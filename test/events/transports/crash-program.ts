/**
 * A service with a broker behind its log, which ends itself by SIGKILL at a moment: between the confirms of a relay and
 * its cursor, between the writing of a bridge and its commit, or between that and the acknowledgement.
 */
import { subscribe } from 'node:diagnostics_channel'
import type { ComponentBase, ComponentDefinition } from '../../../src/app/component.ts'
import { kafka } from '../../../src/components/kafka/index.ts'
import { postgres } from '../../../src/components/postgres/index.ts'
import { rabbitmq } from '../../../src/components/rabbitmq/index.ts'
import { event, events } from '../../../src/events/index.ts'
import { connectComponent } from '../../../src/testing/connect-component.ts'
import { anything } from '../support.ts'

export interface CrashOrder {
  readonly kind: 'rabbitmq' | 'kafka'
  readonly dsn: string
  readonly channel: string
  readonly appName: string
  readonly topic: string
  /** Options of the component of the broker. */
  readonly broker: object
  /** Where it ends; without it, it goes on. */
  readonly at?: string
  /** Subscribes, so that the bridge reads. */
  readonly reads: boolean
}

await run(JSON.parse(process.argv[2] ?? '') as CrashOrder)

async function run({ kind, dsn, channel, appName, topic, broker, at, reads }: CrashOrder): Promise<void> {
  if (at !== undefined) subscribe(`sluice:${at}`, () => process.kill(process.pid, 'SIGKILL'))
  const db = await connectComponent(postgres({ dsn, maxOpenConns: 4 }))
  const definition = kind === 'kafka' ? kafka(broker) : rabbitmq(broker)
  const mq = await connectComponent(definition as ComponentDefinition<ComponentBase>, { name: 'mq', appName })
  const log = await connectComponent(events({ transport: kind, channel, partitions: 3 }), {
    appName,
    required: { postgres: db.api, [kind]: mq.api },
  })
  if (reads) {
    const Numbered = event(topic, anything<{ n: number }>())
    await log.api
      .subscribe(
        Numbered,
        'effects',
        ({ data, tx }) => tx.execute('insert into effects (n) values ($1)', [data.n]),
        { transaction: true },
      )
      .ready()
  }
  process.send?.('ready')
}
