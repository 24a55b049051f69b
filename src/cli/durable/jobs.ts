/** `sluice jobs`: what is queued, what runs, what died, and what can be done about it. */
import { commandOf, type RunnableAction } from './action.ts'
import { JOB_CHANGES } from './jobs-change.ts'
import { JOB_VIEWS } from './jobs-view.ts'

const actions: readonly RunnableAction[] = [...JOB_VIEWS, ...JOB_CHANGES]

export const jobsCommand = commandOf(
  {
    name: 'jobs',
    summary: 'jobs: queues, dead letters, retry, cancel, pause',
    detail:
      'Looks into the database that the jobs of the app live in, or into the one of --dsn or POSTGRES_DSN. The app is not\n' +
      'started, and no job runs here. Without an action: stats.',
  },
  actions,
)
