import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { LaneSpec, Receiver } from '../../src/replicator/contract.ts'
import { frameReader, type Control } from '../../src/replicator/websocket/frame.ts'

const LANES: readonly LaneSpec[] = [
  { name: 'company', plural: 'companies', lookups: undefined, ttlMs: 0 },
  { name: 'user', plural: 'users', lookups: undefined, ttlMs: 0 },
]

/** What a reader makes of a frame. */
function readAll(text: string) {
  const seen: unknown[] = []
  const controls: Control[] = []
  const receiver: Receiver = {
    message: (lane, kind, id, json, data, at) =>
      void seen.push({ lane, kind, id, data: json === '' ? data : (JSON.parse(json) as unknown), at }),
    reached: (at) => void seen.push({ reached: at }),
    malformed: (kept, reason, detail, lane, at) =>
      void seen.push({ malformed: kept, reason, detail, lane, at }),
    live: () => {},
    reload: () => {},
    disconnected: () => {},
  }
  frameReader(LANES).any(Buffer.from(text), { receiver, control: (control) => void controls.push(control) })
  return { seen, controls }
}

const object = fc.dictionary(fc.string(), fc.jsonValue())
const frame = fc.record({
  entity_type: fc.constantFrom('company', 'user', 'planet', 'companies'),
  message_type: fc.constantFrom('full', 'partial', 'delete', 'odd'),
  entity_id: fc.oneof(
    fc.string({ minLength: 1, maxLength: 20 }),
    fc.constant('a"b\\c'),
    fc.constant(''),
    fc.nat(),
  ),
  data: fc.oneof(object, fc.jsonValue(), fc.constant({ stream_id: '9-9', text: ',"stream_id":"1-1"}' })),
  stream_id: fc.oneof(
    fc.tuple(fc.nat(), fc.nat()).map(([ms, seq]) => `${ms}-${seq}`),
    fc.constantFrom('1', '-', '1-', '99999999999999999999-1', 'x-1'),
  ),
})

test('a frame in the usual order of keys and the same in another mean the same', () => {
  fc.assert(
    fc.property(frame, ({ stream_id: id, ...rest }) => {
      const usual = readAll(JSON.stringify({ ...rest, stream_id: id }))
      const other = readAll(JSON.stringify({ stream_id: id, ...rest }))
      const strip = (seen: readonly unknown[]): unknown =>
        seen.map((each) => ('malformed' in (each as object) ? { ...(each as object), malformed: '' } : each))
      assert.deepEqual(strip(usual.seen), strip(other.seen))
    }),
    { numRuns: 2_000 },
  )
})

test('whatever is in a frame, reading it does not throw, and what is cut out of it is JSON', () => {
  const cut = fc.tuple(frame, fc.nat(), fc.string({ maxLength: 3 })).map(([value, at, put]) => {
    const text = JSON.stringify(value)
    const place = at % (text.length + 1)
    return text.slice(0, place) + put + text.slice(place)
  })
  // `readAll` parses each text that it is handed.
  fc.assert(
    fc.property(fc.oneof(cut, fc.string(), fc.json()), (text) => void readAll(text)),
    { numRuns: 5_000 },
  )
})

test('an extra key between data and stream_id is not taken for a part of data', () => {
  const { seen } = readAll(
    '{"entity_type":"company","message_type":"full","entity_id":"c","data":{"a":1},"extra":"x","stream_id":"1-2"}',
  )
  assert.deepEqual(seen, [{ lane: 'company', kind: 'full', id: 'c', data: { a: 1 }, at: { ms: 1, seq: 2 } }])
})

test('the frames of the protocol', () => {
  const { controls } = readAll(
    '{"type":"subscribed","entity_type":"company","stream_id":"5-1","resumed":true}',
  )
  assert.deepEqual(controls, [{ type: 'subscribed', lane: 'company', at: { ms: 5, seq: 1 }, resumed: true }])
  assert.deepEqual(readAll('{"type":"heartbeat","stream_id":"7-0"}').seen, [{ reached: { ms: 7, seq: 0 } }])
  assert.deepEqual(readAll('{"type":"reload","stream_id":"7-0"}').controls, [
    { type: 'reload', lane: undefined, at: { ms: 7, seq: 0 }, reason: 'no reason given' },
  ])
  assert.deepEqual(readAll('{"type":"error","message":"no"}').controls, [{ type: 'error', message: 'no' }])
})

test('a bulk message is one message an entity, with one position', () => {
  const { seen } = readAll(
    '{"entity_type":"users","message_type":"full","data":[{"entity_id":"a","data":{}},{"entity_id":"b","data":3}],"stream_id":"1-2"}',
  )
  assert.equal(seen.length, 3)
  assert.partialDeepStrictEqual(seen, [
    { lane: 'user', id: 'a' },
    { reason: 'malformed', lane: 'user', at: { ms: 1, seq: 2 } },
    { reached: { ms: 1, seq: 2 } },
  ])
})

test('an entity is taken from its bytes in every alphabet, and not where they are no UTF-8', () => {
  const taken: string[] = []
  const reader = frameReader(LANES)
  const receiver: Receiver = {
    message: (_lane, kind, id, json) => void taken.push(`${kind} ${id} ${json}`),
    full: (_lane, bytes, idFrom, idTo, from, to) =>
      void taken.push(`full ${bytes.toString('utf8', idFrom, idTo)} ${bytes.toString('utf8', from, to)}`),
    reached: () => {},
    malformed: () => assert.fail('it is left to the reader of all frames'),
    live: () => {},
    reload: () => {},
    disconnected: () => {},
  }
  const read = (kind: string, data: string, encoding: 'utf8' | 'latin1'): boolean => {
    const text = `{"entity_type":"user","message_type":"${kind}","entity_id":"u1","data":${data},"stream_id":"1-2"}`
    const bytes = Buffer.from(`before${text}behind`, encoding)
    return reader.entity(bytes, 'before'.length, bytes.length - 'behind'.length, receiver)
  }
  for (const data of ['{"a":1}', '{"name":"Jürgen"}', '{"ü":"名前 😀"}']) {
    for (const kind of ['full', 'partial']) {
      assert.equal(read(kind, data, 'utf8'), true)
      assert.equal(taken.pop(), `${kind} u1 ${data}`)
      assert.equal(read(kind, '{"name":"Jürgen"}', 'latin1'), false)
    }
  }
  assert.deepEqual(taken, [])
})
