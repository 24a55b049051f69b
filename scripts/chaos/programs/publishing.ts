/** How clients publish the events of a chaos run: by themselves, in a transaction, in one that is rolled back, by key. */
import type { Postgres } from '../../../src/components/postgres/index.ts'
import type { Events } from '../../../src/events/index.ts'
import { rollback, type Client } from './client.ts'
import { Happened, Moved } from './events.ts'

export function publishAll(client: Client, db: Postgres, log: Events): void {
  for (let i = 0; i < 2; i += 1) {
    void client.repeat('plain', (id) => log.publish(Happened, { id }))
    void client.repeat('tx', (id) =>
      db.transaction(async (tx) => {
        await tx.execute('insert into chaos_orders (id) values ($1)', [id])
        await log.publish(Happened, { id }, { tx })
      }),
    )
    void client.repeat('rolled-back', (id) =>
      db.transaction(async (tx) => {
        await log.publish(Happened, { id }, { tx })
        throw rollback
      }),
    )
  }
  client.repeatByKey((id, key) => log.publish(Moved, { id }, { key }))
}
