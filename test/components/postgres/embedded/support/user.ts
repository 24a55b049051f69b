/** A process of an app that uses the embedded server; the test tells it over IPC what to do. */
import { acquireEmbeddedServer } from '../../../../../src/components/postgres/embedded/index.ts'
import { systemClock } from '../../../../../src/core/clock.ts'
import { silentLogger } from '../../../../../src/telemetry/log.ts'
import { failureOf, HANG_MS, type Command, type Report, type UserOptions } from './harness.ts'

const options = JSON.parse(process.argv[2] ?? '{}') as UserOptions

try {
  const started = performance.now()
  const server = await acquireEmbeddedServer(
    { appName: 'test', ...options, log: silentLogger, clock: systemClock },
    AbortSignal.timeout(HANG_MS),
    (fraction, note) => report({ kind: 'progress', fraction, note }),
  )
  server.onExit((error) => report({ kind: 'exit', message: error.message }))
  process.on('message', (command: Command) => {
    if (command !== 'release') return
    void server
      .release(AbortSignal.timeout(HANG_MS))
      .then(() => report({ kind: 'released' }, () => process.exit(0)), fail)
  })
  const { connection } = server
  report({ kind: 'ready', ms: performance.now() - started, connection, inspection: server.inspect() })
} catch (error) {
  fail(error)
}

function report(message: Report, then: () => void = () => {}): void {
  process.send?.(message, () => then())
}

function fail(error: unknown): void {
  report(failureOf(error), () => process.exit(1))
}
