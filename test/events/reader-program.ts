/** A process that reads: it says what it handled, does a durable effect where asked to, and waits to be ended. */
import { events, event } from '../../src/events/index.ts'
import { postgres } from '../../src/components/postgres/index.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { anything } from './support.ts'

const [dsn = '', mode = 'plain'] = process.argv.slice(2)
const db = await connectComponent(postgres({ dsn, maxOpenConns: 3 }))
const reader = await connectComponent(events(), { required: { postgres: db.api } })
const Numbered = event('crash.numbered', anything<{ n: number }>())

const say = (message: object): void => void process.send?.(message)
if (mode === 'transaction') {
  reader.api.subscribe(
    Numbered,
    'reader',
    async ({ id, data, tx }) => {
      await tx.execute('insert into effects (event, n) values ($1, $2)', [id, data.n])
      say({ handled: data.n })
    },
    { from: 'beginning', transaction: true },
  )
} else {
  reader.api.subscribe(
    Numbered,
    'reader',
    async ({ id, data, attempt }) => {
      say({ begun: data.n, attempt })
      // A process that ends each time that it is given this one.
      if (mode === 'poison' && data.n === 3) process.kill(process.pid, 'SIGKILL')
      await db.api.execute('insert into effects (event, n) values ($1, $2)', [id, data.n])
      say({ handled: data.n })
    },
    { from: 'beginning', concurrency: 4, attempts: 3, backoff: { base: 1, max: 5 } },
  )
}
say({ ready: true })
