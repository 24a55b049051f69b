/** Processes that end by SIGKILL at each moment on the way: nothing is lost, and each effect is there once. */
import assert from 'node:assert/strict'
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { suite, test } from 'node:test'
import { event } from '../../../src/events/index.ts'
import { BROKER } from '../../components/kafka/support.ts'
import { at as addressOf } from '../../components/rabbitmq/support.ts'
import { anything, until } from '../support.ts'
import { unique } from './conformance/support.ts'
import type { CrashOrder } from './crash-program.ts'
import { missingFor, openPlace, type Place, type Service } from './places.ts'

const skips = {
  'log+rabbitmq': await missingFor('log+rabbitmq'),
  'log+kafka': await missingFor('log+kafka'),
}
const COUNT = 40
const PROGRAM = new URL('./crash-program.ts', import.meta.url)

interface Run extends AsyncDisposable {
  readonly child: ChildProcess
  /** Resolves when it works; rejects when it ended before. */
  readonly ready: Promise<void>
  readonly ended: Promise<NodeJS.Signals | null>
}

function start(order: CrashOrder): Run {
  const child = fork(PROGRAM, [JSON.stringify(order)], {
    execArgv: ['--conditions=sluice-source'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const ended = once(child, 'exit').then(([, signal]) => signal as NodeJS.Signals | null)
  const ready = Promise.race([once(child, 'message').then(() => undefined), ended.then(() => undefined)])
  return {
    child,
    ready,
    ended,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await ended
    },
  }
}

const orderOf = (place: Place, service: Service, dsn: string, topic: string, reads: boolean): CrashOrder => ({
  kind: place.transport === 'log+kafka' ? 'kafka' : 'rabbitmq',
  dsn,
  channel: place.channel,
  appName: service.appName,
  topic,
  broker:
    place.transport === 'log+kafka' ? { brokers: BROKER, sessionTimeout: '6s' } : addressOf(place.vhost!),
  reads,
})

const effects = (reader: Service): PromiseLike<{ n: number; times: number }[]> =>
  reader.db!.query('select n, count(*)::int as times from effects group by n order by n')

const ONCE_EACH = Array.from({ length: COUNT }, (_, n) => ({ n, times: 1 }))

suite('crashes on the way', { concurrency: 2 }, () => {
  for (const transport of ['log+rabbitmq', 'log+kafka'] as const) {
    test(
      `${transport}: a relay that dies between confirm and cursor sends again, and the inbox knows it`,
      { skip: skips[transport], timeout: 170_000 },
      async () => {
        await using place = await openPlace(transport)
        const topic = unique('crash')
        const Numbered = event(topic, anything<{ n: number }>())
        const reader = await place.join('reader')
        await reader.db!.query('create table effects (n int not null)')
        await reader.events
          .subscribe(
            Numbered,
            'effects',
            ({ data, tx }) => tx.execute('insert into effects (n) values ($1)', [data.n]),
            {
              transaction: true,
            },
          )
          .ready()
        // Makes the tables and the place of the relay, and goes away: from here on only the processes relay.
        const dsn = place.dsn('writer')
        const writer = await place.join('writer')
        await writer.events.pause(relay(transport))
        await writer.events.publishMany(
          Numbered,
          Array.from({ length: COUNT }, (_, n) => ({ data: { n }, key: `k${n % 5}` })),
        )
        await writer.events.resume(relay(transport))
        await writer[Symbol.asyncDispose]()
        const order = orderOf(place, writer, await dsn, topic, false)
        for (let round = 0; round < 2; round++) {
          await using run = start({ ...order, at: 'events.relayed' })
          assert.equal(await run.ended, 'SIGKILL')
        }
        await using last = start(order)
        await last.ready
        const rows = await until(
          () => effects(reader),
          (all) => all.length === COUNT,
        )
        assert.deepEqual(rows, ONCE_EACH)
      },
    )

    for (const moment of ['events.bridging', 'events.bridged']) {
      test(
        `${transport}: a bridge that dies at ${moment} takes what it held again, and writes it once`,
        { skip: skips[transport], timeout: 170_000 },
        async () => {
          await using place = await openPlace(transport)
          const topic = unique('crash')
          const Numbered = event(topic, anything<{ n: number }>())
          const dsn = place.dsn('reader')
          const reader = await place.join('reader')
          await reader.db!.query('create table effects (n int not null)')
          // The bridge is known to the broker from here on, and what comes waits for the processes.
          await reader.events.subscribe(Numbered, 'effects', () => undefined, { transaction: true }).ready()
          await reader.component.component.close(AbortSignal.timeout(20_000))
          const writer = await place.join('writer')
          const order = orderOf(place, reader, await dsn, topic, true)
          await writer.events.publishMany(
            Numbered,
            Array.from({ length: COUNT }, (_, n) => ({ data: { n }, key: `k${n % 5}` })),
          )
          {
            await using run = start({ ...order, at: moment })
            assert.equal(await run.ended, 'SIGKILL')
          }
          await using last = start(order)
          await last.ready
          const rows = await until(
            () => effects(reader),
            (all) => all.length === COUNT,
          )
          assert.deepEqual(rows, ONCE_EACH)
        },
      )
    }
  }
})

function relay(transport: 'log+rabbitmq' | 'log+kafka'): string {
  return `relay:${transport.slice('log+'.length)}`
}
