/** `sluice events`: how far subscriptions are, what waits, what died, replays. */
import { commandOf } from './action.ts'
import { EVENT_CHANGES } from './events-change.ts'
import { EVENT_VIEWS } from './events-view.ts'
import { EVENT_WAITING } from './events-waiting.ts'

export const eventsCommand = commandOf(
  {
    name: 'events',
    summary: 'events: lag, deliveries that wait, dead letters, replay, pause',
    detail:
      'Looks into the database that the events of the app live in, or into the one of --dsn or POSTGRES_DSN. The app is not\n' +
      'started, and nothing is delivered here. Without an action: lag.',
  },
  [...EVENT_VIEWS, ...EVENT_WAITING, ...EVENT_CHANGES],
)
