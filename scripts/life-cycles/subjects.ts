/** What can be started and stopped over and over, each with an operation that shows that it works. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { postgres, type Postgres } from '../../src/components/postgres/index.ts'
import { redis, type Redis } from '../../src/components/redis/index.ts'
import { threads, type Threads } from '../../src/components/threads/index.ts'
import type { ComponentBase, ComponentDefinition } from '../../src/app/component.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'

export interface Subject extends AsyncDisposable {
  /** From start to stop, with one operation in between. */
  cycle(): Promise<void>
}

const TASK = new URL('./task.ts', import.meta.url)

/** By the name on the command line. */
export const SUBJECTS: Readonly<Record<string, () => Promise<Subject> | Subject>> = {
  threads: () =>
    component(
      () => threads({ maxThreads: 2 }),
      (api: Threads) => api.run(TASK, 1),
    ),
  embedded: async () => {
    const directory = await mkdtemp(join(tmpdir(), 'sluice-cycles-'))
    return component(
      () => postgres({ dataDir: join(directory, 'data') }),
      (api: Postgres) => api.query('select 1'),
      () => rm(directory, { recursive: true, force: true }),
    )
  },
  postgres: () =>
    component(
      () => postgres({ dsn: process.env['POSTGRES_DSN'] ?? 'postgres://postgres@127.0.0.1:5432/postgres' }),
      (api: Postgres) => api.query('select 1'),
    ),
  redis: () =>
    component(
      () => redis({ addr: process.env['REDIS_ADDR'] ?? '127.0.0.1:6379' }),
      (api: Redis) => api.get('nothing'),
    ),
}

function component<Api extends ComponentBase>(
  definition: () => ComponentDefinition<Api>,
  operate: (api: Api) => PromiseLike<unknown>,
  clean: () => Promise<void> = () => Promise.resolve(),
): Subject {
  return {
    async cycle() {
      const open = await connectComponent(definition())
      try {
        await operate(open.api)
      } finally {
        await open.close()
      }
    },
    [Symbol.asyncDispose]: clean,
  }
}
