/** Events: by themselves, in transactions, rolled back, in the order of a key; read by three subscriptions. */
import { countRows } from './jobs-scenario.ts'
import { SUBSCRIPTIONS } from './programs/events.ts'
import type { Scenario } from './scenario.ts'

const happened = ['plain', 'tx']

export const eventsScenario: Scenario = {
  name: 'events',
  worker: new URL('./programs/events-worker.ts', import.meta.url),
  client: new URL('./programs/events-client.ts', import.meta.url),
  readers: [
    { name: SUBSCRIPTIONS.ledger, transactional: false, sees: ({ kind }) => happened.includes(kind) },
    { name: SUBSCRIPTIONS.rows, transactional: true, sees: ({ kind }) => happened.includes(kind) },
    { name: SUBSCRIPTIONS.ordered, transactional: false, sees: ({ kind }) => kind === 'keyed' },
  ],
  workerMoments: [
    'events.ticked',
    'events.read',
    'handler.effect',
    'events.committing',
    'events.handled',
    'events.moved',
    'events.parked',
  ],
  clientMoments: ['events.publish', 'events.published'],
  left: (db) => countRows(db, 'sluice.task'),
  dead: (db) => countRows(db, 'sluice.dead'),
}
