/** Subscriptions of a server that comes and goes: what the log holds of it. */
import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import type { ConnectionSettings } from '../../../src/components/redis/server/client.ts'
import { Subscriber } from '../../../src/components/redis/server/subscriber.ts'
import { ManualClock } from '../../../src/testing/manual-clock.ts'
import { recordingLogger, type RecordedLine } from '../../telemetry/recording-logger.ts'
import { fakeServer, welcome } from './fake-server.ts'

/** Beyond all that the test lets pass. */
const HOUR_MS = 3_600_000
const TIMES = 6

/** Waits of the subscriber take no time, so that only the test moves the clock. */
class WaitlessClock extends ManualClock {
  override sleep(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve))
  }
}

const ways: Readonly<
  Record<string, { readonly message: string; readonly reply: (socket: Socket) => string | undefined }>
> = {
  'cuts every subscription off': {
    message: 'cache: the connection of the subscriptions was lost',
    reply: (socket) => void socket.destroy(),
  },
  'refuses every subscription': {
    message: 'cache: subscriptions cannot connect, trying on',
    reply: () => '-NOPERM no permissions to access a channel\r\n',
  },
}

for (const [what, { message, reply }] of Object.entries(ways)) {
  test(`a server that ${what} is told of once a minute, with the number left out`, async () => {
    const clock = new WaitlessClock()
    const lines: RecordedLine[] = []
    let subscribes = 0
    let goal = { count: TIMES, reached: Promise.withResolvers<void>() }
    await using server = await fakeServer((command, socket) => {
      if (command[0] !== 'subscribe') return welcome(command)
      if (++subscribes === goal.count) goal.reached.resolve()
      return reply(socket)
    })
    const settings: ConnectionSettings = {
      component: 'cache',
      address: { host: '127.0.0.1', port: Number(server.addr.split(':')[1]), tls: false },
      username: undefined,
      password: undefined,
      db: 0,
      clientName: 'test',
      dialTimeoutMs: HOUR_MS,
      replyTimeoutMs: HOUR_MS,
      pingIntervalMs: HOUR_MS,
      maxQueued: 100,
      rejectUnauthorized: true,
      tlsFiles: { ca: undefined, cert: undefined, key: undefined },
      clock,
    }
    const subscriber = new Subscriber({ settings, random: () => 0, log: recordingLogger(lines) })
    const told = () => lines.filter((line) => line.message === message).map(({ suppressed }) => suppressed)
    try {
      subscriber.listen({ channel: 'news', pattern: false, onMessage: () => {}, onLive: () => {} })
      subscriber.start()
      await goal.reached.promise
      assert.deepEqual(told(), [0])
      await clock.advance(60_000)
      goal = { count: subscribes + TIMES, reached: Promise.withResolvers() }
      await goal.reached.promise
      const [first, second, ...more] = told()
      assert.deepEqual([first, more], [0, []])
      // The last one that was counted may not have come back from the server when time moved on.
      assert.ok(typeof second === 'number' && second >= TIMES - 3, `${String(second)} left out`)
    } finally {
      await subscriber.close()
    }
  })
}
