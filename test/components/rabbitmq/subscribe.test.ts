import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { z } from 'zod'
import { WorkerPool } from '../../../src/pool/worker-pool.ts'
import type { RabbitMessage } from '../../../src/components/rabbitmq/index.ts'
import { at, connectRabbit, foreigner, hasCode, Inbox, ownVhost, unique, until } from './support.ts'

const own = await ownVhost()
after(() => own[Symbol.asyncDispose]())
const { broker } = own
const rabbit = (name: string, fn: () => Promise<void>): void =>
  void test(name, { skip: own.skip, timeout: 30_000 }, fn)

const quick = { backoff: { base: 1, cap: 1 } } as const

rabbit('messages of the topics arrive with all that was said of them', async () => {
  await using connected = await connectRabbit(at(broker), { appName: 'shop' })
  const { mq } = connected
  const queue = unique('all')
  const inbox = new Inbox<RabbitMessage>()
  await mq.subscribe([`${queue}.one.*`, `${queue}.many.#`], queue, inbox.add).live
  const id = await mq.publish(
    `${queue}.one.a`,
    { n: 1 },
    { headers: { tenant: 'a' }, subject: 's', version: 3 },
  )
  await mq.publish(`${queue}.many.a.b.c`, 'text')
  await assert.rejects(mq.publish(`${queue}.one.a.b`, 1), hasCode('SLUICE_UNROUTABLE'))
  const [first, second] = await inbox.until(2)
  assert.ok(first !== undefined && second !== undefined)
  assert.equal(first.id, id)
  assert.equal(first.topic, `${queue}.one.a`)
  assert.equal(first.exchange, 'sluice')
  assert.equal(first.type, `${queue}.one.a`)
  assert.equal(first.source, 'shop')
  assert.equal(first.subject, 's')
  assert.equal(first.version, 3)
  assert.ok(first.time instanceof Date)
  assert.deepEqual(first.data, { n: 1 })
  assert.deepEqual(first.headers, { tenant: 'a' })
  assert.equal(first.attempt, 1)
  assert.equal(first.redelivered, false)
  assert.equal(first.bytes.toString(), '{"n":1}')
  assert.equal(second.data, 'text')
})

rabbit('the queue is a quorum queue, and outlives who reads it', async () => {
  await using connected = await connectRabbit(at(broker))
  await using other = await foreigner(broker)
  const queue = unique('stays')
  const inbox = new Inbox<unknown>()
  await connected.mq.subscribe(queue, queue, () => {}).live
  await connected.close()
  // The same arguments, or the broker would refuse.
  await other.queueDeclare({ queue, passive: true })
  await assert.rejects(
    other.queueDeclare({ queue, durable: true, arguments: { 'x-queue-type': 'classic' } }),
    /inequivalent/,
  )
  const publisher = other.createPublisher({ confirm: true })
  await publisher.send({ exchange: 'sluice', routingKey: queue, durable: true }, 'later')
  await publisher.close()
  await using again = await connectRabbit(at(broker))
  await again.mq.subscribe(queue, queue, ({ data }) => inbox.add(data)).live
  assert.deepEqual(await inbox.until(1), ['later'])
})

rabbit('messages of others are read by their properties, or by a mapping function', async () => {
  await using connected = await connectRabbit(at(broker))
  await using other = await foreigner(broker)
  const publisher = other.createPublisher({ confirm: true })
  const send = (queue: string, body: unknown, more: object = {}): Promise<void> =>
    publisher.send(
      { exchange: 'sluice', routingKey: queue, messageId: '7', type: 'Order', appId: 'php', ...more },
      body,
    )
  const [plain, mapped] = [unique('plain'), unique('mapped')]
  const inbox = new Inbox<RabbitMessage>()
  await connected.mq.subscribe(plain, plain, inbox.add).live
  await connected.mq.subscribe(mapped, mapped, inbox.add, {
    map: ({ bytes, headers, topic }) => ({
      id: String(headers['key']),
      type: `legacy.${topic}`,
      source: 'erp',
      time: new Date(0),
      data: bytes.toString().split(';'),
    }),
  }).live
  await send(plain, { a: 1 })
  await send(mapped, Buffer.from('a;b'), { headers: { key: 'k9' } })
  await inbox.until(2)
  const first = inbox.items.find(({ topic }) => topic === plain)!
  assert.deepEqual([first.id, first.type, first.source, first.data], ['7', 'Order', 'php', { a: 1 }])
  const second = inbox.items.find(({ topic }) => topic === mapped)!
  assert.deepEqual(
    [second.id, second.type, second.source, second.data],
    ['k9', `legacy.${mapped}`, 'erp', ['a', 'b']],
  )
  assert.equal(second.time?.getTime(), 0)
  await publisher.close()
})

rabbit('what cannot be read is a dead letter at once, with its bytes as they came', async () => {
  await using connected = await connectRabbit(at(broker))
  await using other = await foreigner(broker)
  const publisher = other.createPublisher({ confirm: true })
  const queue = unique('bad')
  const inbox = new Inbox<unknown>()
  await connected.mq.subscribe(queue, queue, inbox.add, {
    schema: z.object({ n: z.number() }),
    map: ({ bytes }) => {
      if (bytes.includes('refuse')) throw new Error('of no use to us')
      return {}
    },
  }).live
  const bodies = [
    ['{"n": 1', 'application/json', /no JSON/],
    ['{"n":"x", "n":"x",  "big":12345678901234567890}', 'application/json', /n/],
    ['refuse', 'application/json', /of no use/],
    ['\xff\xfe', 'text/plain', /./],
    ['{"__proto__":{"polluted":1}}', 'application/json; charset=utf-8', /n/],
    ['', 'application/json', /no JSON/],
  ] as const
  for (const [index, [body, contentType]] of bodies.entries()) {
    await publisher.send(
      { exchange: 'sluice', routingKey: queue, contentType, messageId: String(index), contentEncoding: '' },
      Buffer.from(body, 'latin1'),
    )
  }
  const dead = connected.mq.deadLetters(queue)
  await until(async () => (await dead.count()) === bodies.length)
  const letters = [...(await dead.list())].sort((a, b) => Number(a.id) - Number(b.id))
  for (const [index, [body, , reason]] of bodies.entries()) {
    const letter = letters[index]!
    assert.ok(Buffer.from(body, 'latin1').equals(letter.bytes), `body ${index}`)
    assert.match(letter.reason, reason)
    assert.equal(letter.topic, queue)
    assert.equal(letter.exchange, 'sluice')
  }
  assert.equal(letters[0]!.code, 'SLUICE_INVALID_DATA')
  assert.equal(inbox.items.length, 0)
  assert.equal(({} as { polluted?: number }).polluted, undefined)
  await publisher.close()
})

rabbit(
  'a message that fails waits before it is tried again, and is a dead letter after its attempts',
  async () => {
    await using connected = await connectRabbit(at(broker), { random: () => 0.999 })
    const { mq } = connected
    const queue = unique('fails')
    const tries: { attempt: number; at: number }[] = []
    await mq.subscribe(
      queue,
      queue,
      ({ attempt, id }) => {
        tries.push({ attempt, at: performance.now() })
        throw new Error(`not ${id}`)
      },
      { attempts: 3, backoff: { base: 200, cap: 200 } },
    ).live
    const id = await mq.publish(queue, { a: 1 }, { headers: { tenant: 'a' } })
    const dead = mq.deadLetters(queue)
    await until(async () => (await dead.count()) === 1)
    assert.deepEqual(
      tries.map(({ attempt }) => attempt),
      [1, 2, 3],
    )
    for (const [index, { at: when }] of tries.entries()) {
      if (index > 0) assert.ok(when - tries[index - 1]!.at >= 190, 'no hot loop')
    }
    const [letter] = await dead.list()
    assert.ok(letter !== undefined)
    assert.equal(letter.id, id)
    assert.equal(letter.topic, queue)
    assert.equal(letter.exchange, 'sluice')
    assert.equal(letter.attempts, 3)
    assert.equal(letter.reason, `not ${id}`)
    assert.equal(letter.code, 'Error')
    assert.ok(letter.at instanceof Date)
    assert.deepEqual(letter.headers, { tenant: 'a' })
    assert.equal(letter.bytes.toString(), '{"a":1}')
  },
)

rabbit('a handler that takes too long has failed, and its signal says so', async () => {
  await using connected = await connectRabbit(at(broker))
  const queue = unique('slow')
  const inbox = new Inbox<unknown>()
  await connected.mq.subscribe(
    queue,
    queue,
    ({ attempt, signal }) => {
      if (attempt === 2) return inbox.add('second')
      return new Promise((resolve) =>
        signal.addEventListener('abort', () => {
          inbox.add('aborted')
          resolve(undefined)
        }),
      )
    },
    { ...quick, timeout: 50 },
  ).live
  await connected.mq.publish(queue, 1)
  assert.deepEqual(await inbox.until(2), ['aborted', 'second'])
})

rabbit('what is held is tied to the pool that runs the handlers', async () => {
  await using connected = await connectRabbit(at(broker))
  const { mq } = connected
  const queue = unique('pool')
  const pool = new WorkerPool({ name: 'handlers', workers: 3, maxWaiting: 10 })
  const gate = Promise.withResolvers<void>()
  let running = 0
  let most = 0
  const done = new Inbox<number>()
  const subscription = mq.subscribe(
    queue,
    queue,
    async ({ data }) => {
      running += 1
      most = Math.max(most, running)
      await gate.promise
      running -= 1
      done.add(data as number)
    },
    { pool },
  )
  await subscription.live
  await mq.publishBatch(Array.from({ length: 20 }, (_, data) => ({ topic: queue, data }))).waitAll()
  const held = (): number => (mq.status()['subscriptions'] as { running: number }[])[0]!.running
  await until(() => held() === 6)
  assert.equal(running, 3)
  gate.resolve()
  await done.until(20)
  assert.equal(most, 3)
  await subscription.close()
  await pool.close()
})

rabbit('with a prefetch of one the order of the queue is kept', async () => {
  await using connected = await connectRabbit(at(broker))
  const queue = unique('order')
  const inbox = new Inbox<unknown>()
  await connected.mq.subscribe(queue, queue, ({ data }) => inbox.add(data), { prefetch: 1 }).live
  for (let index = 0; index < 100; index += 1) await connected.mq.publish(queue, index)
  assert.deepEqual(
    await inbox.until(100),
    Array.from({ length: 100 }, (_, index) => index),
  )
})

rabbit('the more urgent goes first, where priorities are heeded', async () => {
  await using connected = await connectRabbit(at(broker))
  const { mq } = connected
  const queue = unique('urgent')
  const options = { priorities: true, prefetch: 1 } as const
  await mq.subscribe(queue, queue, () => {}, options).close()
  const first = mq.subscribe(queue, queue, () => {}, options)
  await first.live
  await first.close()
  for (const priority of [9, 5, 0, 7]) await mq.publish(queue, priority, { priority })
  const inbox = new Inbox<unknown>()
  await mq.subscribe(queue, queue, ({ data }) => inbox.add(data), options).live
  assert.deepEqual(await inbox.until(4), [0, 5, 7, 9])
})

rabbit('two processes share the messages of a queue', async () => {
  await using one = await connectRabbit(at(broker))
  await using two = await connectRabbit(at(broker))
  const queue = unique('shared')
  const inbox = new Inbox<string>()
  await one.mq.subscribe(queue, queue, () => inbox.add('one'), { prefetch: 1 }).live
  await two.mq.subscribe(queue, queue, () => inbox.add('two'), { prefetch: 1 }).live
  await one.mq.publishBatch(Array.from({ length: 50 }, () => ({ topic: queue, data: 1 }))).waitAll()
  await inbox.until(50)
  assert.deepEqual(new Set(inbox.items), new Set(['one', 'two']))
  assert.throws(() => one.mq.subscribe('a', queue, () => {}), hasCode('SLUICE_CONFLICT'))
})

rabbit('a queue that is deleted under its reader comes back, with its bindings', async () => {
  await using connected = await connectRabbit(at(broker), { random: () => 0 })
  const queue = unique('deleted')
  const inbox = new Inbox<unknown>()
  const subscription = connected.mq.subscribe(queue, queue, ({ data }) => inbox.add(data))
  await subscription.live
  assert.equal(await connected.mq.deleteQueue(queue, { force: true }), 0)
  await until(() => subscription.state !== 'consuming')
  await until(() => subscription.state === 'consuming')
  await connected.mq.publish(queue, 1)
  assert.deepEqual(await inbox.until(1), [1])
  assert.equal(connected.losses.length, 0)
})

rabbit(
  'a queue of another kind: the subscription says what differs, the rest works, and it heals',
  async () => {
    await using connected = await connectRabbit(at(broker), { random: () => 0 })
    await using other = await foreigner(broker)
    const queue = unique('classic')
    await other.queueDeclare({ queue, durable: true })
    const inbox = new Inbox<unknown>()
    const subscription = connected.mq.subscribe(queue, queue, ({ data }) => inbox.add(data))
    await until(() => subscription.error !== undefined)
    assert.ok(
      hasCode(
        'SLUICE_CONFLICT',
        /inequivalent arg 'x-.*' for queue '.*received .* but current is none/,
      )(subscription.error),
    )
    await connected.mq.publish('nobody', 1, { mandatory: false })
    await other.queueDelete({ queue })
    await subscription.live
    assert.equal(subscription.error, undefined)
    await connected.mq.publish(queue, 1)
    assert.deepEqual(await inbox.until(1), [1])
  },
)

rabbit('an exchange of others that is missing is waited for', async () => {
  await using connected = await connectRabbit(at(broker), { random: () => 0 })
  await using other = await foreigner(broker)
  const exchange = unique('orders')
  const queue = unique('missing')
  const inbox = new Inbox<unknown>()
  const subscription = connected.mq.subscribe('order.*', queue, ({ exchange: from }) => inbox.add(from), {
    exchange,
  })
  await until(() => subscription.error !== undefined)
  assert.ok(hasCode('SLUICE_UNAVAILABLE', new RegExp(`no exchange '${exchange}'`))(subscription.error))
  await other.exchangeDeclare({ exchange, type: 'topic' })
  await subscription.live
  await connected.mq.publish('order.made', 1, { exchange })
  assert.deepEqual(await inbox.until(1), [exchange])
})

rabbit('a close takes nothing more, and waits for the handlers that run', async () => {
  await using connected = await connectRabbit(at(broker))
  const { mq } = connected
  const queue = unique('closing')
  const started = new Inbox<unknown>()
  const gate = Promise.withResolvers<void>()
  const subscription = mq.subscribe(queue, queue, ({ data }) => (started.add(data), gate.promise), {
    prefetch: 2,
  })
  await subscription.live
  for (const data of [1, 2, 3]) await mq.publish(queue, data)
  await started.until(2)
  let isClosed = false
  const closing = subscription.close().then(() => (isClosed = true))
  await mq.publish(queue, 4)
  assert.equal(isClosed, false)
  gate.resolve()
  await closing
  assert.deepEqual(started.items, [1, 2])
  assert.equal(subscription.state, 'closed')
  const rest = new Inbox<unknown>()
  await mq.subscribe(queue, queue, ({ data, redelivered }) => rest.add([data, redelivered])).live
  assert.deepEqual(await rest.until(2), [
    [3, false],
    [4, false],
  ])
})

rabbit(
  'an app that stops gives handlers until its deadline, and the broker hands out what was not done',
  async () => {
    const queue = unique('stopping')
    const started = new Inbox<AbortSignal>()
    const connected = await connectRabbit(at(broker))
    await connected.mq.subscribe(queue, queue, ({ signal }) => {
      started.add(signal)
      return new Promise((resolve) => signal.addEventListener('abort', resolve))
    }).live
    await connected.mq.publish(queue, 'a')
    const [signal] = await started.until(1)
    await connected.component.stopIntake?.(AbortSignal.timeout(1_000))
    await connected.component.drain?.(AbortSignal.timeout(50))
    assert.equal(signal!.aborted, true)
    await connected.close()
    await using again = await connectRabbit(at(broker))
    const inbox = new Inbox<unknown>()
    await again.mq.subscribe(queue, queue, ({ data, attempt, redelivered }) =>
      inbox.add([data, attempt, redelivered]),
    ).live
    assert.deepEqual(await inbox.until(1), [['a', 1, true]])
  },
)

rabbit('a queue is deleted when nobody uses it, or by force', async () => {
  await using connected = await connectRabbit(at(broker))
  const { mq } = connected
  const queue = unique('delete')
  const subscription = mq.subscribe(queue, queue, () => {})
  await subscription.live
  await assert.rejects(mq.deleteQueue(queue), hasCode('SLUICE_CONFLICT', /1 consumers and 0 messages/))
  await subscription.close()
  await mq.publish(queue, 1)
  await until(async () => {
    const error = await mq.deleteQueue(queue).catch((failure: unknown) => failure)
    assert.ok(hasCode('SLUICE_CONFLICT')(error))
    return String(error).includes('0 consumers and 1 messages')
  })
  assert.equal(await mq.deleteQueue(queue, { force: true }), 1)
  await assert.rejects(mq.deleteQueue(queue), hasCode('SLUICE_UNAVAILABLE', /no queue/))
  assert.equal(connected.losses.length, 0)
})

rabbit(
  'headers that leave no room for ours: the broker itself moves such a message to the dead letters',
  async () => {
    await using connected = await connectRabbit(at(broker))
    await using other = await foreigner(broker)
    const queue = unique('headers')
    await connected.mq.subscribe(queue, queue, () => Promise.reject(new Error('no'))).live
    // Larger than what is left of a frame with our own headers added.
    const publisher = other.createPublisher({ confirm: true })
    await publisher.send(
      { exchange: 'sluice', routingKey: queue, durable: true, headers: { big: 'x'.repeat(130_800) } },
      'body',
    )
    const dead = connected.mq.deadLetters(queue)
    await until(async () => (await dead.count()) === 1)
    const [letter] = await dead.list()
    assert.equal(letter?.reason, 'rejected')
    assert.equal(letter.bytes.toString(), 'body')
    await publisher.close()
  },
)

rabbit('wrong options of a subscription are refused at once', async () => {
  await using connected = await connectRabbit(at(broker))
  const { mq } = connected
  const wrong: readonly (() => unknown)[] = [
    () => mq.subscribe('a', '', () => {}),
    () => mq.subscribe('a', 'amq.a', () => {}),
    () => mq.subscribe('a', 'sluice.a', () => {}),
    () => mq.subscribe('', 'a', () => {}),
    () => mq.subscribe('a', 'a', 1 as never),
    () => mq.subscribe('a', 'a', () => {}, { attempts: 0 }),
    () => mq.subscribe('a', 'a', () => {}, { prefetch: 5_001 }),
    () => mq.subscribe('a', 'a', () => {}, { timeout: '26m' }),
    () => mq.subscribe('a', 'a', () => {}, { backoff: { base: '1h', cap: '1s' } }),
    () => mq.subscribe('a', 'a', () => {}, { maxLength: 0 }),
    () => mq.subscribe('a', 'a', () => {}, { redeliveries: -1 }),
  ]
  for (const call of wrong) assert.throws(call, hasCode('SLUICE_INVALID_ARGUMENT'))
})

rabbit('a queue with a limit refuses what is too much', async () => {
  await using connected = await connectRabbit(at(broker, { maxRetries: 0 }))
  const queue = unique('limited')
  const subscription = connected.mq.subscribe(queue, queue, () => {}, { maxLength: 2 })
  await subscription.live
  await subscription.close()
  // A quorum queue counts a little behind, so a few more get in.
  const refusals = async (): Promise<number> => {
    for (let sent = 0; sent < 100; sent += 1) {
      try {
        await connected.mq.publish(queue, 1)
      } catch (error) {
        assert.ok(hasCode('SLUICE_OVERLOADED', /nack/)(error), String(error))
        return sent
      }
    }
    return 100
  }
  assert.ok((await refusals()) < 100)
})
