/**
 * A source that makes a stream, and a replicator that keeps a store in step with it: `npm run example:replicator`.
 *
 * With REDIS_ADDR the store is that server, else the memory of this process.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { createApp, type Logger } from 'sluice'
import { redis } from 'sluice/redis'
import { replicator } from 'sluice/replicator'
import { showReplicator } from './view.ts'

const source = fork(new URL('./source/main.ts', import.meta.url), {
  stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
})
const ended = once(source, 'exit')
const [line] = (await Promise.race([
  once(createInterface({ input: source.stdout! }), 'line'),
  ended.then(() => ['']),
])) as [string]
if (line === '') throw new Error('the source ended before it said where it is')
const { url, bulkUrl } = JSON.parse(line) as { readonly url: string; readonly bulkUrl: string }

const apiKey = process.env['SOURCE_API_KEY']
const app = createApp({
  name: 'replicator-example',
  components: {
    redis: redis(),
    replicator: replicator({
      sourceUrl: url,
      bulkUrl,
      ...(apiKey === undefined ? {} : { apiKey }),
      keyName: 'example',
      lookupField: 'keys',
      companyChannelSize: 5_000,
      userChannelSize: 5_000,
    }),
  },
  health: { gates: { replicator: 'always' } },
  // The log would run through the picture; without a terminal it is wanted.
  ...(process.stdout.isTTY ? { logger: quiet() } : {}),
})

await app.start()
const head = `${url}  ->  ${process.env['REDIS_ADDR'] ?? 'the memory of this process'}   (Ctrl-C ends it)`
const view = showReplicator(app.components.replicator, head)
try {
  process.exitCode = await app.run({ exit: false })
} finally {
  view.stop()
  if (source.connected) source.disconnect()
  await ended
}

function quiet(): Logger {
  const nothing = (): void => {}
  const logger: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing, child: () => logger }
  return logger
}
