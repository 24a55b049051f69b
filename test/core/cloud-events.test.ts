import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  AMQP_PREFIX,
  AMQP_PREFIXES,
  cloudEventHeaders,
  isCloudEventHeader,
  KAFKA_PREFIX,
  KAFKA_PREFIXES,
  readCloudEvent,
  type CloudEvent,
} from '../../src/core/cloud-events.ts'

const EVENT: CloudEvent = {
  id: '1',
  source: 'shop',
  type: 'post.created',
  time: '2026-01-02T03:04:05.678Z',
  subject: 'post/7',
  schemaversion: 3,
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  extensions: { partitionkey: 'ada' },
}

test('what is written under the prefix of a protocol is read again as it was', () => {
  for (const [prefix, prefixes] of [
    [AMQP_PREFIX, AMQP_PREFIXES],
    [KAFKA_PREFIX, KAFKA_PREFIXES],
  ] as const) {
    const headers = cloudEventHeaders(EVENT, prefix)
    assert.equal(headers[`${prefix}specversion`], '1.0')
    assert.equal(headers[`${prefix}schemaversion`], '3')
    assert.ok(Object.keys(headers).every((name) => isCloudEventHeader(name, prefixes)))
    assert.deepEqual(readCloudEvent({ ...headers, other: 1 }, prefixes), EVENT)
  }
})

test('both spellings of AMQP, bytes, numbers and times of other writers are read', () => {
  const read = readCloudEvent(
    {
      cloudEvents_specversion: '1.0',
      cloudEvents_id: Buffer.from('7'),
      cloudEvents_source: '/a',
      cloudEvents_type: 't',
      cloudEvents_time: new Date('2026-01-02T03:04:05Z'),
      cloudEvents_schemaversion: 2,
    },
    AMQP_PREFIXES,
  )
  assert.deepEqual(read, {
    id: '7',
    source: '/a',
    type: 't',
    time: '2026-01-02T03:04:05.000Z',
    schemaversion: 2,
  })
})

test('a message without specversion has no envelope', () => {
  assert.equal(readCloudEvent({ 'cloudEvents:id': '1', a: 'b' }, AMQP_PREFIXES), undefined)
  assert.equal(readCloudEvent({}, KAFKA_PREFIXES), undefined)
})

test('an envelope that breaks the specification is SLUICE_INVALID_DATA and names the attribute', () => {
  const good = cloudEventHeaders(EVENT, KAFKA_PREFIX)
  const cases: readonly [Record<string, unknown>, RegExp][] = [
    [{ ...good, ce_specversion: '0.3' }, /specversion/],
    [{ ...good, ce_id: '' }, /"id"/],
    [{ ...good, ce_type: undefined }, /"type"/],
    [{ ...good, ce_schemaversion: 'secret-value' }, /"schemaversion"/],
  ]
  for (const [headers, pattern] of cases) {
    assert.throws(
      () => readCloudEvent(headers, KAFKA_PREFIXES),
      (error) => {
        assert.ok(error instanceof Error && 'code' in error)
        assert.equal(error.code, 'SLUICE_INVALID_DATA')
        assert.match(error.message, pattern)
        return !error.message.includes('secret-value')
      },
    )
  }
})

test('what cannot be an attribute is SLUICE_INVALID_ARGUMENT at writing', () => {
  const wrong: readonly Partial<Record<keyof CloudEvent, unknown>>[] = [
    { id: '' },
    { id: undefined },
    { source: 'a\nb' },
    { type: 'x'.repeat(1_025) },
    { schemaversion: 0 },
    { subject: '\ud800' },
    { extensions: { Upper: 'a' } },
    { extensions: { id: 'twice' } },
    { extensions: { ok: '' } },
  ]
  for (const part of wrong) {
    assert.throws(
      () => cloudEventHeaders({ ...EVENT, ...part } as CloudEvent, AMQP_PREFIX),
      { code: 'SLUICE_INVALID_ARGUMENT' },
      JSON.stringify(part),
    )
  }
})
