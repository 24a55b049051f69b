/**
 * Puts the compiled modules together into a few files, because a start pays for each file that is imported: 190 modules
 * cost 55 ms of processor time beyond Fastify's own, the same code in a dozen files 17 (start to first answer 1.37 times a
 * bare Fastify process before, 1.09 after, medians of 11).
 *
 * `dist/` keeps what tsc made, for its declarations and the command line; `dist/bundle/` holds one file an entry and what
 * entries share. The modules that run in threads and child processes are entries too: a task that imports sluice must meet
 * the same copy of each module as its runner. All files lie in one directory, so that `new URL('./runner.js',
 * import.meta.url)` finds its file from any of them.
 */
import { join } from 'node:path'
import { build } from 'esbuild'

/** The name in `dist/bundle` and the module in `dist`. */
const ENTRIES = {
  index: 'index.js',
  postgres: 'components/postgres/index.js',
  redis: 'components/redis/index.js',
  kafka: 'components/kafka/index.js',
  mongo: 'components/mongo/index.js',
  rabbitmq: 'components/rabbitmq/index.js',
  s3: 'components/s3/index.js',
  threads: 'components/threads/index.js',
  cron: 'cron/index.js',
  audit: 'audit/index.js',
  events: 'events/index.js',
  jobs: 'jobs/index.js',
  replicator: 'replicator/index.js',
  testing: 'testing/index.js',
  runner: 'components/threads/runner.js',
  'child-runner': 'components/threads/child-runner.js',
  'watchdog-thread': 'app/watchdog-thread.js',
  'heart-thread': 'engine/worker/heart-thread.js',
} as const

/** Writes `dist/bundle` from what tsc wrote to `dist`. */
export async function bundle(dist: string): Promise<void> {
  await build({
    entryPoints: Object.fromEntries(Object.entries(ENTRIES).map(([name, file]) => [name, join(dist, file)])),
    outdir: join(dist, 'bundle'),
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    packages: 'external',
    legalComments: 'none',
    logLevel: 'warning',
  })
}
