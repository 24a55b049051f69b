/** A consumer that is stopped while it joins: the process goes on, and the group is free for the next. */
import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'node:test'
import type { KafkaModule } from '../../../src/components/kafka/client/peer.ts'
import type { ClientSettings } from '../../../src/components/kafka/client/settings.ts'
import { Member } from '../../../src/components/kafka/consume/member.ts'
import { systemClock } from '../../../src/core/clock.ts'
import { LIMIT, missingBroker, stage } from './support.ts'

/** As the driver: the stream asks for its positions when it is made, and by then its consumer has been closed. */
class ClosedMeanwhile extends EventEmitter {
  readonly generationId = 1
  readonly assignments = []

  consume(_options: object, callback: (error: Error | null, stream: Readable) => void): void {
    callback(null, new Readable({ construct: (done) => done(new Error('Client is closed.')), read() {} }))
  }
  isActive(): boolean {
    return true
  }
  close(): Promise<void> {
    return Promise.resolve()
  }
}

function memberOf(onFailure: (error: Error) => void): Member {
  return new Member({
    component: 'kafka',
    module: { Consumer: ClosedMeanwhile } as unknown as KafkaModule,
    settings: { clientId: 'test', requestTimeout: 1_000 } as ClientSettings,
    group: 'group',
    topics: ['topic'],
    from: 'beginning',
    instanceId: undefined,
    sessionTimeoutMs: 10_000,
    maxBytes: 1_048_576,
    clock: systemClock,
    onMessage: () => assert.fail('there is no message'),
    onAssigned: () => undefined,
    onRebalance: () => undefined,
    onFailure,
  })
}

test('a stream that fails before anybody could listen to it fails its member, and not the process', async () => {
  const failed = Promise.withResolvers<Error>()
  const member = memberOf(failed.resolve)
  await member.open(LIMIT)
  assert.match((await failed.promise).message, /Client is closed/)
  await member.close()
})

test('nobody is told of a stream of a member that was closed', async () => {
  const member = memberOf((error) => assert.fail(error))
  const opened = member.open(LIMIT)
  await member.close()
  await opened
})

test(
  'consumers that are stopped at any moment of their join leave the group to the next one',
  { skip: await missingBroker() },
  async () => {
    await using at = await stage({ partitions: 3 })
    for (let round = 0; round < 8; round++) {
      const consumption = at.api.consume(at.topic, () => undefined, { group: at.group })
      // Each round is stopped at another moment: of a real broker no other signal tells of these.
      await delay(round * 15)
      await consumption.stop()
    }
    const all = [0, 1, 2].map((partition) => ({ value: { partition }, partition }))
    await at.api.publishBatch(at.topic, all).waitAll()
    const seen = new Set<number>()
    const done = Promise.withResolvers<void>()
    const last = at.api.consume(
      at.topic,
      (message) => {
        if (seen.add(message.partition).size === 3) done.resolve()
      },
      { group: at.group },
    )
    await done.promise
    await last.stop()
    assert.equal((await at.api.lag(at.topic, { group: at.group })).total, 0n)
  },
)
