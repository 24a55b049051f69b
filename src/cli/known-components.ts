/** The components that sluice has, for commands without a program: each as its factory makes it, without options. */
import type { ComponentBase, ComponentDefinition } from '../app/component.ts'

type Definition = ComponentDefinition<ComponentBase>

export async function knownComponents(): Promise<Readonly<Record<string, Definition>>> {
  const [
    { postgres },
    { redis },
    { kafka },
    { rabbitmq },
    { mongo },
    { s3 },
    { threads },
    { jobs },
    { events },
    { cron },
    { audit },
    { replicator },
  ] = await Promise.all([
    import('../components/postgres/index.ts'),
    import('../components/redis/index.ts'),
    import('../components/kafka/index.ts'),
    import('../components/rabbitmq/index.ts'),
    import('../components/mongo/index.ts'),
    import('../components/s3/index.ts'),
    import('../components/threads/index.ts'),
    import('../jobs/index.ts'),
    import('../events/index.ts'),
    import('../cron/index.ts'),
    import('../audit/index.ts'),
    import('../replicator/index.ts'),
  ])
  const all = {
    postgres: postgres(),
    redis: redis(),
    kafka: kafka(),
    rabbitmq: rabbitmq(),
    mongo: mongo(),
    s3: s3(),
    threads: threads(),
    jobs: jobs(),
    events: events(),
    cron: cron(),
    audit: audit(),
    replicator: replicator(),
  }
  return all as Readonly<Record<string, Definition>>
}
