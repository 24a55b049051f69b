/** In which order messages are sent when their channel ended before the broker had confirmed them. */
import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import type { BrokerConnection } from '../../../src/components/rabbitmq/connect/connection.ts'
import type { Envelope } from '../../../src/components/rabbitmq/connect/driver.ts'
import type { Frame } from '../../../src/components/rabbitmq/publish/message.ts'
import { Publisher } from '../../../src/components/rabbitmq/publish/publisher.ts'
import type { Topology } from '../../../src/components/rabbitmq/topology/topology.ts'
import { systemClock } from '../../../src/core/clock.ts'

const options = { timeout: 20_000 }
const BODY = 100

/** A channel of the driver, whose broker confirms when the test says so. */
class Channel extends EventEmitter {
  active = true
  readonly sent: string[] = []
  readonly #open: PromiseWithResolvers<void>[] = []

  basicPublish({ messageId = '' }: Envelope): Promise<void> {
    this.sent.push(messageId)
    const confirm = Promise.withResolvers<void>()
    this.#open.push(confirm)
    return confirm.promise
  }

  confirmSelect(): Promise<void> {
    return Promise.resolve()
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  confirm(count: number): void {
    for (const { resolve } of this.#open.splice(0, count)) resolve()
  }

  /** As the driver does it: all that is open rejects, the oldest first. */
  end(): void {
    this.active = false
    const ended = Object.assign(new Error('channel closed'), { code: 'CH_CLOSE' })
    for (const { reject } of this.#open.splice(0)) reject(ended)
  }
}

const connectionOn = (channel: Channel): BrokerConnection =>
  ({
    isOpen: true,
    acquire: () => Promise.resolve(channel),
    corker: { hold: () => undefined },
  }) as unknown as BrokerConnection

const publisherOf = (maxBytes: number): Publisher =>
  new Publisher({
    component: 'mq',
    exchange: 'e',
    maxBytes,
    clock: systemClock,
    topology: { exchange: () => Promise.resolve(), forget: () => undefined } as unknown as Topology,
  })

const frameOf = (id: number): Frame => ({
  id: String(id),
  exchange: 'e',
  envelope: { exchange: 'e', messageId: String(id), headers: {} },
  body: Buffer.alloc(BODY),
  delay: undefined,
})

const call = { signal: new AbortController().signal, remainingMs: 60_000 }
const ids = (count: number): string[] => Array.from({ length: count }, (_, id) => String(id))

test('after a reconnect what was sent before is sent first, and nobody goes before it', options, async () => {
  const publisher = publisherOf(1e9)
  const [first, second] = [new Channel(), new Channel()]
  await publisher.attach(connectionOn(first))
  const done = ids(1_000).map((id) => publisher.publish(frameOf(Number(id)), call))
  first.end()
  publisher.detach()
  await turn()
  await publisher.attach(connectionOn(second))
  // Whatever is published from here on is newer than all that was not confirmed.
  for (let id = 1_000; id < 1_100; id++) {
    done.push(publisher.publish(frameOf(id), call))
    second.confirm(5)
    if (id % 20 === 0) await turn()
  }
  while (second.sent.length < 1_100) {
    second.confirm(1_000)
    await turn()
  }
  second.confirm(1_100)
  await Promise.all(done)
  assert.deepEqual(first.sent, ids(1_000))
  assert.deepEqual(second.sent, ids(1_100))
})

test('messages that wait for room for their bytes are sent in their order', options, async () => {
  const publisher = publisherOf(10 * BODY)
  const channel = new Channel()
  await publisher.attach(connectionOn(channel))
  const done = ids(600).map((id) => publisher.publish(frameOf(Number(id)), call))
  assert.equal(channel.sent.length, 10)
  while (channel.sent.length < 600) {
    channel.confirm(3)
    await turn()
    assert.ok(publisher.outstandingBytes <= 10 * BODY)
  }
  channel.confirm(600)
  await Promise.all(done)
  assert.deepEqual(channel.sent, ids(600))
})

test('what was sent before a channel ended is sent before what still waited then', options, async () => {
  const publisher = publisherOf(10 * BODY)
  const [first, second] = [new Channel(), new Channel()]
  await publisher.attach(connectionOn(first))
  const done = ids(30).map((id) => publisher.publish(frameOf(Number(id)), call))
  first.end()
  publisher.detach()
  await turn()
  await publisher.attach(connectionOn(second))
  while (second.sent.length < 30) {
    second.confirm(4)
    await turn()
  }
  second.confirm(30)
  await Promise.all(done)
  assert.deepEqual(second.sent, ids(30))
})
