/** The site as a process: the first one, which may start others, or one of those. */
import type { ServeOptions } from './arguments.ts'
import { communityApp } from './app.ts'
import { Delays } from './delays.ts'
import { startWorker, type Pulse } from './workers.ts'

const PULSE_MS = 1_000

export async function serve({ workers }: ServeOptions): Promise<void> {
  const delays = new Delays()
  const app = communityApp(delays)
  if (process.env['COMMUNITY_WORKER'] === '1') beWorker(app, delays)
  else welcome(app, workers)
  await app.run()
}

type App = ReturnType<typeof communityApp>

/** Tells the parent that it is ready, and every second how it is; ends with the parent. */
function beWorker(app: App, delays: Delays): void {
  const endWithParent = (): void => void process.kill(process.pid, 'SIGTERM')
  process.once('disconnect', endWithParent)
  let timer: NodeJS.Timeout | undefined
  app.service('pulse', ({ db, cache, events, jobs, log }) => {
    const say = (): void => {
      if (!process.connected) return
      const pulse: Pulse = {
        url: app.address.url,
        rssBytes: process.memoryUsage.rss(),
        delays: delays.take(),
      }
      process.send?.(pulse)
    }
    return {
      start: () => {
        log.debug({ components: [db, cache, events, jobs].map(({ name }) => name) }, 'ready to work')
        say()
        timer = setInterval(say, PULSE_MS).unref()
      },
      stop: () => {
        clearInterval(timer)
        process.off('disconnect', endWithParent)
        if (process.connected) process.disconnect()
      },
    }
  })
}

function welcome(app: App, workers: number): void {
  app.service('welcome', ({ db, cache, events, jobs, log }) => ({
    start: async () => {
      const { url } = app.address
      const others = await Promise.all(Array.from({ length: workers - 1 }, () => startWorker()))
      for (const { pid, ended } of others) {
        void ended.then((how) => log.info({ worker: pid, how }, 'a worker has ended; the others go on'))
      }
      const used = [
        `db (${db.status()['server'] === 'embedded' ? 'embedded PostgreSQL' : 'PostgreSQL'})`,
        `cache (${cache.status()['backend'] === 'memory' ? 'in memory' : 'Redis'})`,
        ...[events, jobs].map(({ name }) => name),
      ].join(', ')
      process.stdout.write(`
  community is up on ${used}, in ${workers} process${workers === 1 ? '' : 'es'}. Look at:

    ${url}/            the site
    ${[url, ...others.map((other) => other.url)].map((each) => `${each}/health`).join('   ')}
    ${url}/openapi.json   ${url}/metrics

  Stop it with Ctrl-C.

`)
    },
  }))
}
