/** What the community is made of; tests build the same app on resources of their own. */
import { createApp, type Logger, type Service, type ServiceArgument } from 'sluice'
import { events } from 'sluice/events'
import { jobs } from 'sluice/jobs'
import { kafka } from 'sluice/kafka'
import { mongo } from 'sluice/mongo'
import { postgres } from 'sluice/postgres'
import { rabbitmq } from 'sluice/rabbitmq'
import { redis } from 'sluice/redis'
import { s3 } from 'sluice/s3'
import { threads } from 'sluice/threads'
import type { Delays } from './delays.ts'
import { migrations } from './migrations.ts'
import { circles } from './routes/circles.ts'
import { comments } from './routes/comments.ts'
import { feed } from './routes/feed.ts'
import { live } from './routes/live.ts'
import { media } from './routes/media.ts'
import { notifications } from './routes/notifications.ts'
import { page } from './routes/page.ts'
import { posts } from './routes/posts.ts'
import { rebuild } from './routes/rebuild.ts'
import { users } from './routes/users.ts'
import { votes } from './routes/votes.ts'
import { activityArchive } from './subscribers/archive.ts'
import { commentNotices } from './subscribers/comment-notices.ts'
import { feeds } from './subscribers/feeds.ts'
import { peopleNotices } from './subscribers/people-notices.ts'
import { peopleTallies } from './subscribers/people-tallies.ts'
import { postNotices } from './subscribers/post-notices.ts'
import { postTallies } from './subscribers/post-tallies.ts'
import { searchIndex } from './subscribers/search-index.ts'
import { voteNotices } from './subscribers/vote-notices.ts'

export const components = {
  db: postgres({ migrations }), // POSTGRES_DSN; without it, a private PostgreSQL started from node_modules
  cache: redis(), // REDIS_ADDR; without it, in memory
  events: events({ transport: 'auto' }), // durable log in `db`; with a broker it also travels there
  rabbitmq: rabbitmq(), // MQ_HOST; without it, none
  kafka: kafka(), // KAFKA_BROKERS; without it, none
  jobs: jobs(), // durable queue in `db`
  store: s3(), // S3_BUCKET; without it, files in a directory
  threads: threads(),
  archive: mongo(), // MONGO_URL; without it, none
}

export function services(delays: Delays): readonly Service<ServiceArgument<typeof components>>[] {
  const routes = [
    users,
    circles,
    posts,
    comments,
    votes,
    feed,
    notifications,
    media,
    live,
    rebuild,
    page,
    activityArchive,
  ]
  const subscribers = [searchIndex, feeds, postTallies, peopleTallies]
  const notices = [postNotices, commentNotices, voteNotices, peopleNotices]
  return [...routes, ...[...subscribers, ...notices].map((make) => make(delays))]
}

export function communityApp(delays: Delays, logger?: Logger) {
  const app = createApp({ name: 'community', components, ...(logger === undefined ? {} : { logger }) })
  for (const each of services(delays)) app.use(each)
  return app
}
