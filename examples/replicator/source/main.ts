/**
 * The source as a process: prints its addresses as one line of JSON, and then makes its stream.
 *
 * SOURCE_SEED, SOURCE_RATE (messages a second), SOURCE_KEYS (entities), SOURCE_KEEP (messages that are kept),
 * SOURCE_DISCONNECT (seconds between two cut connections, 0 for never), SOURCE_FORGET (every so many cuts the messages are
 * forgotten too, so that the answer is `reload`), SOURCE_PORT, SOURCE_API_KEY.
 */
import { Generator, randomFrom } from './generator.ts'
import { SourceServer } from './server.ts'
import { StreamLog } from './stream-log.ts'

const number = (name: string, otherwise: number): number => {
  const value = Number(process.env[name] ?? otherwise)
  if (!Number.isFinite(value) || value < 0) throw new Error(`${name}: expected a number of at least 0`)
  return value
}
const seed = number('SOURCE_SEED', 1)
const rate = number('SOURCE_RATE', 5_000)
const keys = number('SOURCE_KEYS', 20_000)
const disconnectS = number('SOURCE_DISCONNECT', 10)
const forgetEvery = number('SOURCE_FORGET', 3)
const apiKey = process.env['SOURCE_API_KEY']

const log = new StreamLog(
  { company: 'companies', user: 'users', flag: 'flags' },
  number('SOURCE_KEEP', 200_000),
  Date.now(),
)
const generator = new Generator(log, {
  seed,
  entities: { company: Math.ceil(keys * 0.4), user: Math.ceil(keys * 0.59), flag: Math.ceil(keys * 0.01) },
  garbage: 0.0001,
})
generator.seed()
const server = await SourceServer.start({
  log,
  port: number('SOURCE_PORT', 0),
  ...(apiKey === undefined ? {} : { apiKey }),
})
process.stdout.write(`${JSON.stringify({ url: server.url, bulkUrl: server.bulkUrl })}\n`)

const TICK_MS = 10
let owed = 0
let lastMs = performance.now()
const ticking = setInterval(() => {
  const nowMs = performance.now()
  // After a standstill it does not make up for all of it at once.
  owed = Math.min(owed + ((nowMs - lastMs) / 1_000) * rate, rate)
  lastMs = nowMs
  for (; owed >= 1; owed--) generator.step(Date.now())
  server.pump()
}, TICK_MS)

const random = randomFrom(seed + 1)
let cuts = 0
let cutting: NodeJS.Timeout | undefined
const cutLater = (): void => {
  if (disconnectS === 0) return
  cutting = setTimeout(
    () => {
      cuts += 1
      if (forgetEvery > 0 && cuts % forgetEvery === 0) {
        // Nobody may be back before something was missed.
        server.refusing = true
        server.disconnect()
        setTimeout(() => {
          log.forget()
          server.refusing = false
        }, 300)
      } else server.disconnect()
      cutLater()
    },
    disconnectS * 1_000 * (0.5 + random()),
  )
}
cutLater()

const stop = (): void => {
  clearInterval(ticking)
  clearTimeout(cutting)
  void server.stop().then(() => process.exit(0))
}
process.once('SIGTERM', stop)
process.once('SIGINT', stop)
// The one that started it is gone.
process.once('disconnect', stop)
