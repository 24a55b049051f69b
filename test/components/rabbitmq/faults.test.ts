/** A network and a broker that misbehave, on the shared broker through a proxy of the test's own. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { after, test } from 'node:test'
import { promisify } from 'node:util'
import { isSluiceError } from '../../../src/core/errors.ts'
import { startFaultProxy } from '../../../src/testing/fault-proxy.ts'
import { assertNoLeaks, snapshotResources } from '../../../src/testing/leak-check.ts'
import { soakCycles } from '../../support/soak.ts'
import { freePort } from '../redis/own-server.ts'
import {
  at,
  connectRabbit,
  foreigner,
  hasCode,
  Inbox,
  letIn,
  ownVhost,
  reconnect,
  unique,
  until,
} from './support.ts'

const own = await ownVhost()
after(() => own[Symbol.asyncDispose]())
const { broker } = own
const fault = (name: string, fn: () => Promise<void>): void =>
  void test(name, { skip: own.skip, timeout: 60_000 }, fn)

const proxied = (seed = 1) => {
  const [host, port] = broker.address.split(':')
  return startFaultProxy({ target: { host: host!, port: Number(port) }, seed })
}

/** A queue of others that collects what is published. */
async function collect(queue: string): Promise<AsyncDisposable & { ids(): Promise<readonly string[]> }> {
  const other = await foreigner(broker)
  await other.queueDeclare({ queue, durable: true })
  await other.queueBind({ queue, exchange: 'sluice', routingKey: queue })
  return {
    async ids() {
      const ids: string[] = []
      for (;;) {
        const message = await other.basicGet({ queue, noAck: true })
        if (message === undefined) return ids
        ids.push(message.messageId ?? '')
      }
    },
    [Symbol.asyncDispose]: () => other.close(),
  }
}

fault('a broker that is absent at boot is connected to once it is there', async () => {
  await using proxy = await proxied()
  await proxy.refuse()
  await using connected = await connectRabbit(at(broker, {}, proxy.address), { idle: true })
  await assert.rejects(
    connected.connect(),
    hasCode('SLUICE_UNAVAILABLE', new RegExp(`${proxy.address}.*ECONNREFUSED`)),
  )
  await proxy.accept()
  await connected.connect()
  await connected.mq.publish('a', 1, { mandatory: false })
})

fault('the intake ends while the broker does not answer, long before its silence is noticed', async () => {
  await using proxy = await proxied()
  const connected = await connectRabbit(at(broker, { heartbeat: '40s' }, proxy.address))
  const queue = unique('silent')
  await connected.mq.subscribe(queue, queue, () => undefined).live
  proxy.blackhole()
  const limit = AbortSignal.timeout(20_000)
  await connected.component.stopIntake!(limit)
  await connected.component.drain!(limit)
  assert.equal(limit.aborted, false)
  proxy.heal()
  await connected.mq.deleteQueue(queue, { force: true })
  await connected.close()
})

fault('an address that swallows connections is given up at the dial timeout', async () => {
  await using proxy = await proxied()
  proxy.blackhole()
  await using connected = await connectRabbit(at(broker, { dialTimeout: 200 }, proxy.address), { idle: true })
  const startedAt = performance.now()
  await assert.rejects(connected.connect(), hasCode('SLUICE_TIMEOUT', /200 ms/))
  assert.ok(performance.now() - startedAt < 2_000)
})

fault('a wrong password, a virtual host that is not there, and a name without address are said', async () => {
  const secret = 'not-the-password'
  await using stranger = await connectRabbit({ ...at(broker), password: secret }, { idle: true })
  await assert.rejects(stranger.connect(), (error) => {
    assert.ok(hasCode('SLUICE_AUTH', /refused/)(error))
    return !String(error).includes(secret)
  })
  await using nowhere = await connectRabbit(at(broker, { vhost: 'no-such-vhost' }), { idle: true })
  await assert.rejects(
    nowhere.connect(),
    hasCode('SLUICE_AUTH', /vhost 'no-such-vhost' not found|no-such-vhost/),
  )
  await using nameless = await connectRabbit({ host: 'rabbit.invalid', dialTimeout: '5s' }, { idle: true })
  await assert.rejects(nameless.connect(), hasCode('SLUICE_UNAVAILABLE', /rabbit\.invalid/))
})

fault(
  'messages under way when the connection is cut are sent again with their ids, and none is lost',
  async () => {
    await using proxy = await proxied()
    const queue = unique('cut')
    await using connected = await connectRabbit(at(broker, {}, proxy.address))
    await using collector = await collect(queue)
    for (let round = 0; round < 5; round += 1) {
      const loss = connected.nextLoss()
      const results = Array.from({ length: 300 }, (_, index) => connected.mq.publish(queue, index))
      if (round % 2 === 0) await results[0]
      proxy.reset()
      await loss
      await assert.rejects(connected.mq.publish(queue, 1), hasCode('SLUICE_NOT_READY'))
      await reconnect(connected)
      const ids = await Promise.all(results)
      const arrived = await collector.ids()
      assert.deepEqual(new Set(arrived), new Set(ids))
    }
    assert.equal(connected.losses.length, 5)
  },
)

fault(
  'a confirm that never arrives: sent again with the same id, so that its receiver knows it',
  async () => {
    await using proxy = await proxied()
    const queue = unique('swallowed')
    await using connected = await connectRabbit(at(broker, {}, proxy.address))
    await using collector = await collect(queue)
    await using other = await foreigner(broker)
    const loss = connected.nextLoss()
    proxy.drop('down')
    const result = connected.mq.publish(queue, 1)
    await until(async () => (await other.queueDeclare({ queue, passive: true })).messageCount === 1)
    assert.equal(result.isDone, false)
    proxy.heal()
    proxy.reset()
    await loss
    await reconnect(connected)
    const id = await result
    assert.deepEqual(await collector.ids(), [id, id])
  },
)

fault('a connection that is not back in time: the outcome is unknown, and it says so', async () => {
  await using proxy = await proxied()
  await using connected = await connectRabbit(at(broker, { publishTimeout: 300 }, proxy.address))
  proxy.drop('down')
  const result = connected.mq.publish('a', 1, { mandatory: false })
  const loss = connected.nextLoss()
  await until(
    () => (connected.component.inspect()['publishing'] as { outstanding: number }).outstanding === 1,
  )
  proxy.reset()
  await loss
  await assert.rejects(result, hasCode('SLUICE_OUTCOME_UNKNOWN', /not back in time/))
  proxy.heal()
  await reconnect(connected)
  await connected.mq.publish('a', 1, { mandatory: false })
})

fault('a frozen broker: calls end at their deadline, and its silence is found', async () => {
  await using proxy = await proxied()
  await using connected = await connectRabbit(
    at(broker, { heartbeat: '1s', publishTimeout: 400 }, proxy.address),
  )
  const loss = connected.nextLoss()
  proxy.blackhole()
  const startedAt = performance.now()
  const calls = Array.from({ length: 20 }, () => connected.mq.publish('a', 1, { mandatory: false }))
  for (const result of await Promise.allSettled(calls)) {
    assert.equal(result.status, 'rejected')
    assert.ok(hasCode('SLUICE_TIMEOUT')((result as PromiseRejectedResult).reason))
  }
  assert.ok(performance.now() - startedAt < 2_000)
  assert.match(String(await loss), /nothing was heard for 1\d{3} ms/)
  proxy.heal()
  proxy.reset()
  await reconnect(connected)
  await connected.mq.publish('a', 1, { mandatory: false })
})

fault('cut again and again: every call settles with a code, and nothing is left open', async () => {
  await using proxy = await proxied()
  const options = at(broker, { publishTimeout: '2s' }, proxy.address)
  await (await connectRabbit(options)).close()
  const earlier = snapshotResources()
  const connected = await connectRabbit(options)
  await connected.mq.subscribe('storm.*', unique('storm'), () => {}).live
  for (let round = 0; round < soakCycles(25, 1_000); round += 1) {
    const loss = connected.nextLoss()
    const calls = Array.from({ length: 10 }, () => connected.mq.publish('storm.a', 1))
    proxy.reset()
    await loss
    await reconnect(connected)
    for (const result of await Promise.allSettled(calls)) {
      if (result.status === 'rejected') assert.ok(isSluiceError(result.reason), String(result.reason))
    }
  }
  await connected.close()
  await until(() => proxy.connections.length === 0)
  await assertNoLeaks(earlier)
})

fault('bytes one by one, and late, change nothing', async () => {
  await using proxy = await proxied()
  await using connected = await connectRabbit(at(broker, {}, proxy.address))
  const queue = unique('slices')
  const inbox = new Inbox<unknown>()
  await connected.mq.subscribe(queue, queue, ({ data }) => inbox.add(data)).live
  proxy.slice(1)
  proxy.latency(5, { jitter: 10 })
  const { values } = await connected.mq
    .publishBatch(Array.from({ length: 20 }, (_, data) => ({ topic: queue, data })))
    .waitAll()
  assert.equal(new Set(values).size, 20)
  await inbox.until(20)
  proxy.heal()
  assert.equal(connected.losses.length, 0)
})

fault('bytes that were changed on the way end in an error with a code, never in a crash', async () => {
  for (let seed = 1; seed <= soakCycles(6, 1_000); seed += 1) {
    await using proxy = await proxied(seed)
    await using connected = await connectRabbit(
      at(broker, { publishTimeout: 300, heartbeat: '1s' }, proxy.address),
    )
    const queue = unique('garbage')
    await connected.mq.subscribe(queue, queue, () => {}).live
    proxy.corrupt({ every: 60, direction: 'down' })
    const calls = Array.from({ length: 20 }, () => connected.mq.publish(queue, 1))
    for (const result of await Promise.allSettled(calls)) {
      if (result.status === 'rejected') assert.ok(isSluiceError(result.reason), String(result.reason))
    }
    proxy.heal()
    if (connected.phase === 'ready') {
      const loss = connected.nextLoss()
      proxy.reset()
      await loss
    }
    await reconnect(connected)
    await letIn(() => connected.mq.publish('a', 1, { mandatory: false }))
  }
})

fault(
  'a broker that answers nothing more, though its heartbeats go on, is left after two checks',
  async () => {
    await using proxy = await proxied()
    await using connected = await connectRabbit(at(broker, {}, proxy.address))
    const loss = connected.nextLoss()
    proxy.drop('up')
    await assert.rejects(connected.check(AbortSignal.timeout(100)))
    assert.equal(connected.losses.length, 0)
    await assert.rejects(connected.check(AbortSignal.timeout(100)))
    assert.match(String(await loss), /opens no channel/)
    proxy.heal()
    await reconnect(connected)
    await connected.check(AbortSignal.timeout(10_000))
  },
)

fault(
  'a subscription goes on after a cut: what was not acknowledged comes again, the topology is declared again',
  async () => {
    await using proxy = await proxied()
    await using connected = await connectRabbit(at(broker, {}, proxy.address), { random: () => 0 })
    await using other = await foreigner(broker)
    const queue = unique('goes-on')
    const inbox = new Inbox<string>()
    let isOpen = false
    const aborted = new Inbox<unknown>()
    const subscription = connected.mq.subscribe(queue, queue, async ({ id, signal }) => {
      if (!isOpen) {
        await new Promise<void>((resolve) =>
          signal.addEventListener('abort', () => {
            aborted.add(id)
            resolve()
          }),
        )
        return
      }
      inbox.add(id)
    })
    await subscription.live
    const ids = await Promise.all(Array.from({ length: 30 }, (_, n) => connected.mq.publish(queue, n)))
    await until(() => (connected.mq.status()['subscriptions'] as { running: number }[])[0]!.running > 0)
    const loss = connected.nextLoss()
    proxy.reset()
    await loss
    isOpen = true
    await reconnect(connected)
    await inbox.until((items) => new Set(items).size === 30)
    assert.deepEqual(new Set(inbox.items), new Set(ids))
    assert.ok(aborted.items.length > 0, 'handlers are told that nobody would hear of their end')
    const second = connected.nextLoss()
    await proxy.refuse()
    proxy.reset()
    await second
    // A broker that lost its data: nothing of ours is there when we come back.
    for (const each of [queue, `${queue}.dead`]) await other.queueDelete({ queue: each })
    await proxy.accept()
    await reconnect(connected)
    await until(() => subscription.state === 'consuming')
    const id = await connected.mq.publish(queue, 'after')
    await inbox.until((items) => items.includes(id))
  },
)

fault('an operator who closes the connections: a loss, then everything goes on', async () => {
  await using connected = await connectRabbit(at(broker))
  const queue = unique('closed')
  const inbox = new Inbox<unknown>()
  const subscription = connected.mq.subscribe(queue, queue, ({ data }) => inbox.add(data))
  await subscription.live
  const loss = connected.nextLoss()
  const args = ['-q', 'close_all_connections', '--vhost', broker.vhost, 'maintenance']
  const asRoot = process.getuid?.() === 0
  await promisify(execFile)(asRoot ? 'rabbitmqctl' : 'sudo', asRoot ? args : ['-n', 'rabbitmqctl', ...args])
  assert.match(String(await loss), /maintenance/)
  await reconnect(connected)
  await until(() => subscription.state === 'consuming')
  await connected.mq.publish(queue, 1)
  assert.deepEqual(await inbox.until(1), [1])
})

fault('of several nodes the next one is taken when one is away', async () => {
  await using one = await proxied()
  await using two = await proxied()
  const nobody = `127.0.0.1:${await freePort()}`
  await using connected = await connectRabbit(at(broker, {}, `${nobody},${one.address},${two.address}`))
  assert.equal(connected.mq.status()['node'], one.address)
  const loss = connected.nextLoss()
  await one.refuse()
  one.reset()
  await loss
  await reconnect(connected)
  assert.equal(connected.mq.status()['node'], two.address)
  await connected.mq.publish('a', 1, { mandatory: false })
})
