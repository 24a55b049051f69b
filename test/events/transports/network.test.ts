/** Connections to the broker that are cut, freeze and are refused while events are on their way: all arrive, each once, in order. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { event } from '../../../src/events/index.ts'
import { startFaultProxy, type FaultProxy } from '../../../src/testing/fault-proxy.ts'
import { anything, Seen } from '../support.ts'
import { unique } from './conformance/support.ts'
import { missingFor, openPlace, type Service } from './places.ts'
import { proxied } from '../../components/kafka/support.ts'

const skip = await missingFor('log+rabbitmq')
const noKafka = await missingFor('log+kafka')
const COUNT = 300
const KEYS = 5
const PARTS = 6

interface Fault {
  readonly begin: (proxy: FaultProxy) => void | Promise<void>
  readonly end: (proxy: FaultProxy) => void | Promise<void>
}

const FAULTS: Readonly<Record<string, Fault>> = {
  cut: { begin: (proxy) => proxy.reset(), end: () => undefined },
  frozen: { begin: (proxy) => proxy.blackhole(), end: (proxy) => (proxy.heal(), proxy.reset()) },
  refused: {
    begin: async (proxy) => {
      await proxy.refuse()
      proxy.reset()
    },
    end: (proxy) => proxy.accept(),
  },
}

for (const [name, fault] of Object.entries(FAULTS)) {
  for (const role of ['writer', 'reader'] as const) {
    const what = `rabbitmq: the connection of the ${role} is ${name} again and again`
    test(what, { skip, timeout: 120_000 }, async () => {
      await using place = await openPlace('log+rabbitmq')
      const [host = '', port = ''] = place.vhost!.address.split(':')
      await using proxy = await startFaultProxy({ target: { host, port: Number(port) } })
      const through = { address: proxy.address, limits: { publishTimeout: '1s' } } as const
      const writer = await place.join('writer', role === 'writer' ? through : {})
      const reader = await place.join('reader', role === 'reader' ? through : {})
      await travel(writer, reader, proxy, fault)
    })
  }

  const what = `kafka: the connections of the writer are ${name} again and again`
  test(what, { skip: noKafka, timeout: 170_000 }, async () => {
    await using place = await openPlace('log+kafka')
    await using shared = await takeProxy()
    const limits = { requestTimeout: '2s', dialTimeout: '1s' }
    const writer = await place.join('writer', { address: shared.brokers, limits })
    const reader = await place.join('reader')
    await travel(writer, reader, shared.proxy, fault)
  })
}

async function takeProxy(): Promise<
  AsyncDisposable & { readonly proxy: FaultProxy; readonly brokers: string }
> {
  const taken = await proxied()
  return { ...taken, [Symbol.asyncDispose]: () => taken.proxy.close() }
}

/** Publishes in parts, with the fault while every other one is on its way. */
async function travel(
  writer: Service,
  reader: Service,
  proxy: FaultProxy,
  { begin, end }: Fault,
): Promise<void> {
  const Numbered = event(unique('net'), anything<number>())
  const seen = new Seen<number>()
  const order = new Map<string, number[]>()
  const subscription = reader.events.subscribe(
    Numbered,
    'all',
    ({ data, key = '' }) => {
      order.set(key, [...(order.get(key) ?? []), data])
      seen.add(data)
    },
    { ordered: 'key' },
  )
  await subscription.ready()
  const size = COUNT / PARTS
  for (let part = 0; part < PARTS; part++) {
    const items = Array.from({ length: size }, (_, at) => {
      const n = part * size + at
      return { data: n, key: `k${n % KEYS}` }
    })
    const published = writer.events.publishMany(Numbered, items)
    if (part % 2 === 0) await begin(proxy)
    await published
    if (part % 2 === 0) continue
    await end(proxy)
    await seen.atLeast((part + 1) * size)
  }
  assert.equal(seen.all.length, COUNT)
  for (let key = 0; key < KEYS; key++) {
    const expected = Array.from({ length: COUNT / KEYS }, (_, at) => at * KEYS + key)
    assert.deepEqual(order.get(`k${key}`), expected)
  }
}
