/** A service with a database of its own that hears of events over a broker; arguments: broker, dsn, channel. */
import { z } from 'zod'
import { postgres } from '../../src/components/postgres/index.ts'
import { event, events } from '../../src/events/index.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { openBroker, type BrokerKind } from '../harness/brokers.ts'

const [kind, dsn = '', channel = ''] = process.argv.slice(2)
const broker = await openBroker(kind as BrokerKind, channel)
const db = await connectComponent(postgres({ dsn }), { name: 'db' })
const { api } = await connectComponent(events({ transport: kind as BrokerKind, channel }), {
  appName: `${channel}.reader`,
  required: { postgres: db.api, [kind!]: broker.api },
})
await api
  .subscribe(
    event('bench.ping', z.object({ id: z.number() })),
    'reader',
    ({ data }) => void process.send?.({ id: data.id, at: performance.timeOrigin + performance.now() }),
  )
  .ready()
process.send?.('ready')
