import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fields from '../../src/config/fields.ts'
import { defineSection, yamlKey, type Field, type Origin } from '../../src/config/section.ts'

/** The value, or `expected …`. */
function parsed(field: Field<unknown>, raw: unknown, origin: Origin = 'text'): unknown {
  const result = field.parse(raw, origin)
  return result.ok ? result.value : `expected ${result.expected}`
}

const doc = 'What it does.'

test('text of the environment and of YAML is trimmed, so that the newline of a mounted secret does no harm', () => {
  assert.equal(parsed(fields.text({ doc }), ' a b \n'), 'a b')
  assert.equal(parsed(fields.secret({ doc }), 'pass word\r\n'), 'pass word')
  assert.equal(parsed(fields.url({ doc }), '\tredis://h\n'), 'redis://h')
  assert.equal(parsed(fields.integer({ doc }), ' 8 \n'), 8)
  assert.equal(parsed(fields.duration({ unit: 's', doc }), ' 8 \n'), 8_000)
  assert.equal(parsed(fields.size({ doc }), '8kb\n'), 8_192)
  assert.equal(parsed(fields.boolean({ doc }), 'true\n'), true)
  assert.equal(parsed(fields.oneOf(['a', 'b'], { doc }), 'a\n'), 'a')
})

test('text in code is taken as it is', () => {
  assert.equal(parsed(fields.secret({ doc }), ' x\n', 'code'), ' x\n')
})

test('a bare number of a duration keeps the unit of its name, and one in code counts milliseconds', () => {
  const seconds = fields.duration({ unit: 's', doc })
  const minutes = fields.duration({ unit: 'm', doc })
  assert.equal(parsed(seconds, '10'), 10_000)
  assert.equal(parsed(seconds, 10), 10_000)
  assert.equal(parsed(minutes, '0.5'), 30_000)
  assert.equal(parsed(minutes, 10), 600_000)
  assert.equal(parsed(minutes, 10, 'code'), 10)
})

test('a duration with a unit means the same everywhere', () => {
  for (const unit of ['ms', 's', 'm', 'h', 'd'] as const) {
    for (const origin of ['text', 'code'] as const) {
      const field = fields.duration({ unit, doc })
      assert.equal(parsed(field, '10s', origin), 10_000)
      assert.equal(parsed(field, '1h30m', origin), 5_400_000)
      assert.equal(parsed(field, '250ms', origin), 250)
    }
  }
})

test('durations are shown in the largest unit that says them exactly', () => {
  const field = fields.duration({ unit: 's', doc })
  const shown = [0, 1, 1_500, 65_000, 90_000, 120_000, 5_400_000, 7_200_000].map((ms) => field.show(ms))
  assert.deepEqual(shown, ['0ms', '1ms', '1500ms', '65s', '90s', '2m', '90m', '2h'])
})

test('sizes are bytes, or have a unit that counts in 1024s', () => {
  const field = fields.size({ doc })
  const table = [
    ['0', 0],
    ['512', 512],
    [512, 512],
    ['1b', 1],
    ['1k', 1024],
    ['1kb', 1024],
    ['1KiB', 1024],
    ['64mb', 67_108_864],
    ['1.5 GB', 1_610_612_736],
  ] as const
  for (const [raw, bytes] of table) assert.equal(parsed(field, raw), bytes, String(raw))
  for (const raw of [
    '',
    '-1',
    '1 xb',
    '1.2.3mb',
    'mb',
    1.5,
    Number.NaN,
    Infinity,
    true,
    '99999999tb',
    '1e3',
  ]) {
    assert.match(String(parsed(field, raw)), /^expected size/, String(raw))
  }
  assert.deepEqual(
    [1, 1024, 1536, 67_108_864].map((bytes) => field.show(bytes)),
    ['1b', '1kb', '1536b', '64mb'],
  )
})

test('a boolean takes the usual words in any case, and nothing else', () => {
  const field = fields.boolean({ doc })
  for (const word of ['true', 'TRUE', 'yes', 'On', '1', 1, true])
    assert.equal(parsed(field, word), true, String(word))
  for (const word of ['false', 'no', 'OFF', '0', 0, false])
    assert.equal(parsed(field, word), false, String(word))
  for (const word of ['', 'fasle', 'y', 'n', 't', '2', 'constructor', '__proto__', 2, [], {}, null]) {
    assert.match(String(parsed(field, word)), /^expected true or false/)
  }
})

test('a list is separated by commas, or is a list; empty parts are dropped', () => {
  const field = fields.list({ doc })
  assert.deepEqual(parsed(field, 'a:1, b:2,,'), ['a:1', 'b:2'])
  assert.deepEqual(parsed(field, ['a', ' b ']), ['a', 'b'])
  assert.match(String(parsed(field, [1])), /^expected list of texts/)
  assert.match(String(parsed(field, { a: 1 })), /^expected list/)
  assert.equal(field.show(['a', 'b']), 'a,b')
})

test('a choice is one of its words exactly', () => {
  const field = fields.oneOf(['wait', 'reject'], { doc, default: 'wait' })
  assert.equal(parsed(field, 'reject'), 'reject')
  assert.equal(parsed(field, 'Reject'), 'expected one of wait, reject')
  assert.equal(parsed(field, 'toString'), 'expected one of wait, reject')
})

test('ranges hold for every source, and are part of what was expected', () => {
  assert.equal(parsed(fields.integer({ doc, min: 1 }), 0, 'code'), 'expected integer, at least 1')
  assert.equal(parsed(fields.integer({ doc, max: 9 }), '10'), 'expected integer, at most 9')
  assert.equal(parsed(fields.number({ doc, min: 0, max: 1 }), '1.01'), 'expected number, 0 to 1')
  assert.equal(parsed(fields.number({ doc, min: 0, max: 1 }), '0.25'), 0.25)
  assert.match(String(parsed(fields.duration({ doc, unit: 's', max: '1m' }), 61)), /at most 1m$/)
  assert.match(String(parsed(fields.size({ doc, min: '1kb' }), 1)), /at least 1kb$/)
})

test('no kind of field throws, whatever it is given', () => {
  const all = [
    fields.text({ doc }),
    fields.secret({ doc }),
    fields.url({ doc }),
    fields.integer({ doc }),
    fields.number({ doc }),
    fields.boolean({ doc }),
    fields.duration({ doc, unit: 's' }),
    fields.size({ doc }),
    fields.list({ doc }),
    fields.oneOf(['a'], { doc }),
    fields.nested({ a: fields.integer({ doc }) }, { doc }),
    fields.record({ a: fields.integer({ doc }) }, { doc }),
  ]
  const odd = [
    undefined,
    null,
    Symbol('x'),
    10n,
    () => 1,
    new Date(),
    /x/,
    new Map(),
    Object.create(null),
    [[]],
    Number.NaN,
    new Proxy({}, {}),
  ]
  for (const field of all) {
    for (const raw of odd) {
      for (const origin of ['text', 'code'] as const)
        assert.equal(typeof field.parse(raw, origin).ok, 'boolean')
    }
  }
})

test('a nested group reads every field, fills in defaults and reports every fault with its path', () => {
  const field = fields.nested(
    {
      port: fields.integer({ doc, default: 80 }),
      password: fields.secret({ doc }),
      maxSize: fields.size({ doc, default: '1kb' }),
    },
    { doc },
  )
  assert.deepEqual(
    { ...(parsed(field, { max_size: '2kb' }) as object) },
    { port: 80, password: undefined, maxSize: 2_048 },
  )
  const result = field.parse({ port: 'x', pasword: 'canary', password: 12, maxSize: 'x', max_size: 1 })
  assert.ok(!result.ok)
  assert.deepEqual(
    result.faults?.map((fault) => `${fault.at}: ${fault.expected} ${fault.got ?? ''}`.trim()),
    [
      'pasword: a known key; did you mean password?',
      'max_size: max_size once',
      'port: integer "x"',
      'password: text; write it in quotes ***',
      'max_size: size such as \'64mb\'; a bare number counts bytes "x"',
    ],
  )
  assert.equal(field.defaultValue, undefined)
})

test('a record takes a mapping from name to group, or a list of groups with names', () => {
  const field = fields.record({ dsn: fields.url({ doc }), max: fields.integer({ doc, default: 5 }) }, { doc })
  const expected = { main: { dsn: 'postgres://h/a', max: 5 }, second: { dsn: undefined, max: 7 } }
  const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value))
  assert.deepEqual(
    plain(parsed(field, { main: { dsn: 'postgres://h/a' }, second: { max: 7 } })),
    plain(expected),
  )
  assert.deepEqual(
    plain(
      parsed(field, [
        { name: 'main', dsn: 'postgres://h/a' },
        { name: 'second', max: 7 },
      ]),
    ),
    plain(expected),
  )
  const faults = field.parse([{ name: 'a', max: 'x' }, { name: 'a' }, { name: 'b c' }])
  assert.ok(!faults.ok)
  assert.deepEqual(
    faults.faults?.map((fault) => fault.at),
    ['a.max', 'b c'],
  )
  for (const wrong of [[1], [{ dsn: 'x' }], 'x', 5, [{ name: 1 }]]) assert.equal(field.parse(wrong).ok, false)
  assert.equal(field.parse([{ name: '__proto__', max: 1 }]).ok, false)
})

test('a record in which a name stands twice is refused', () => {
  const field = fields.record({ max: fields.integer({ doc, default: 5 }) }, { doc })
  const result = field.parse([{ name: 'a' }, { name: 'a' }])
  assert.ok(!result.ok && result.faults?.[0]?.expected === 'each name once')
})

test('a section with a name in two fields, or a key that is no camelCase, is refused when it is defined', () => {
  const port = fields.integer({ doc, env: 'X_PORT' })
  assert.throws(
    () => defineSection({ name: 'x', fields: { port, other: port } }),
    /x\.other: X_PORT belongs to another field/,
  )
  assert.throws(
    () => defineSection({ name: 'x', fields: { max_open: fields.text({ doc }) } }),
    /x\.max_open: a key is camelCase/,
  )
  assert.equal(yamlKey('maxOpenConns'), 'max_open_conns')
})
