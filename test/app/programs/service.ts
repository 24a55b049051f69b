/** A program for tests of signals and exit codes: what goes wrong in it is told by its environment. */
import { EventEmitter, once } from 'node:events'
import { createApp, type ServiceHandle } from '../../../src/index.ts'
import { AsyncResult } from '../../../src/core/async-result.ts'
import { fake } from '../fake-component.ts'

const behaviour = new Set((process.env['BEHAVIOUR'] ?? '').split(','))
const say = (text: string): void => void process.stderr.write(`${text}\n`)
const forever = (): Promise<void> => new Promise(() => {})

const db = fake('db')
const cache = fake('cache', { dependsOn: ['db'] })
cache.close = () => {
  say('closed cache')
  return behaviour.has('close-hangs') ? forever() : Promise.resolve()
}
db.close = () => {
  say('closed db')
  return behaviour.has('close-throws') ? Promise.reject(new Error('cannot close')) : Promise.resolve()
}
if (behaviour.has('connect-hangs')) db.connect = forever

if (behaviour.has('hangup-is-mine')) process.on('SIGHUP', () => say('read again'))

const app = createApp({
  name: 'program',
  components: { db: db.definition, cache: cache.definition },
  port: Number(process.env['TEST_PORT'] ?? 0),
  host: '127.0.0.1',
  env: process.env,
  shutdown: {
    budget: process.env['BUDGET'] ?? '5s',
    drainDelay: process.env['DRAIN'] ?? 0,
    closeTimeout: '300ms',
    hangup: !behaviour.has('hangup-is-mine'),
  },
})
app.service('work', ({ http, db: store }): ServiceHandle => {
  http.get('/ping', async () => ({ answer: await store.ping() }))
  if (behaviour.has('start-hangs')) {
    say('the start hangs')
    void http.register(() => new Promise<void>((resolve) => void setTimeout(resolve, 9_000)))
  }
  http.get('/throw-later', () => {
    setTimeout(() => {
      throw new Error('thrown by a timer')
    }, 1)
    return {}
  })
  http.get('/reject-later', () => {
    void Promise.reject(new Error('rejected and nobody looked', { cause: new Error('the cause') }))
    return {}
  })
  http.get('/error-event', () => {
    setTimeout(() => new EventEmitter().emit('error', new Error('emitted and nobody listened')), 1)
    return {}
  })
  http.get('/unawaited-result', () => {
    void AsyncResult.reject(new Error('failed and nobody awaited'))
    return {}
  })
  http.get('/interrupt-thrice', async () => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGINT'] as const) {
      const heard = once(process, signal)
      process.kill(process.pid, signal)
      await heard
    }
    return {}
  })
  http.get('/block', () => {
    for (;;);
  })
  http.get('/block-briefly', () => {
    const until = performance.now() + 2_500
    while (performance.now() < until);
    return {}
  })
  http.get('/block-for-five-seconds', () => {
    const until = performance.now() + 5_000
    while (performance.now() < until);
    return {}
  })
  http.get('/slow', async () => {
    await new Promise((resolve) => setTimeout(resolve, 300))
    return { slow: true }
  })
  // The output is written to a pipe at once, before the port is open.
  if (behaviour.has('reader-is-gone')) process.stdout.write('nobody reads this\n')
  return {
    start: () => say('work has begun'),
    stop: async () => {
      if (behaviour.has('stop-throws-aside')) {
        setTimeout(() => {
          throw new Error('thrown during the stop')
        }, 1)
        // Beyond that timer, so that the stop is under way when it throws.
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
      say('stopped work')
      if (behaviour.has('stop-blocks')) for (;;);
    },
  }
})
if (behaviour.has('reader-is-gone')) await once(process.stdin, 'data')
if (behaviour.has('leaks')) setInterval(() => {}, 1_000)
const code = await app.run()
say(`run resolved with ${code}`)
if (behaviour.has('signal-at-the-end')) process.kill(process.pid, 'SIGTERM')
