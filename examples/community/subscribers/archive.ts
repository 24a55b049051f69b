/**
 * An archive of all that happened, in MongoDB where MONGO_URL names one; without it this service is skipped. An event is
 * one document under its own id, so that it is there once, however often it is written. While MongoDB is away the
 * subscription stands where it is, and goes on when it is back.
 */
import { service, type WorkerPool } from 'sluice'
import type { Events } from 'sluice/events'
import type { Mongo } from 'sluice/mongo'

interface Activity {
  readonly _id: string
  readonly topic: string
  readonly at: Date
  readonly data: unknown
}

interface Needs {
  readonly archive: Mongo
  readonly events: Events
  readonly pool: WorkerPool
}

export const activityArchive = service('activity-archive', ({ archive, events, pool }: Needs) => {
  const activity = archive.collection<Activity>('activity')
  events.subscribe(
    '#',
    'activity-archive',
    ({ events: happened, signal }) =>
      pool.submit(
        async () => {
          const writes = happened.map(({ id, topic, publishedAt, data }) => ({
            replaceOne: { filter: { _id: id }, replacement: { topic, at: publishedAt, data }, upsert: true },
          }))
          await activity.bulkWrite(writes, { idempotent: true, signal })
        },
        { signal, name: 'activity-archive' },
      ),
    { batch: 500, from: 'beginning', onFail: 'stop' },
  )
})
