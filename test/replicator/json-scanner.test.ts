import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { JsonScanner, NO_JSON } from '../../src/replicator/websocket/json-scanner.ts'

const scanner = new JsonScanner()

/** Is the whole text one object, for the scanner? */
function isObject(text: string): boolean {
  const bytes = Buffer.from(text)
  return scanner.objectEnd(bytes, 0, bytes.length) === bytes.length
}

function isObjectForNode(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text)
    // Space before and after the object is not a part of it.
    return text.startsWith('{') && text.endsWith('}') && typeof value === 'object'
  } catch {
    return false
  }
}

const object = fc.dictionary(fc.string({ unit: 'grapheme' }), fc.jsonValue(), { maxKeys: 5 })
const text = fc
  .tuple(object, fc.constantFrom(undefined, 1, '\t', ' \n\r'))
  .map(([value, space]) => JSON.stringify(value, null, space))
/** What JSON is made of, so that random pieces of it are nearly JSON. */
const PIECES = [
  [
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"',
    '"a"',
    '"a":',
    '\\',
    '\\"',
    '\\u00',
    '\\ud83d',
    ' ',
    '\n',
    '\u0001',
    'ü',
  ],
  ['0', '1', '-', '.', 'e', 'E+', '00', '1.5', '-0', 'true', 'false', 'null', 'tru', 'NaN', '\u00a0'],
].flat()
const piece = fc.constantFrom(...PIECES)

test('what JSON.parse takes as an object is one for the scanner', () => {
  fc.assert(
    fc.property(text, (json) => assert.equal(isObject(json), true, json)),
    { numRuns: 2_000 },
  )
})

test('a character at any place of a long text is seen, and the scanner agrees with JSON.parse about it', () => {
  const characters = [...Array.from({ length: 0x81 }, (_, code) => String.fromCharCode(code)), 'ü', '€', '😀']
  for (const character of characters) {
    for (let place = 0; place <= 20; place++) {
      const json = `{"a":"${'x'.repeat(place)}${character}${'x'.repeat(20 - place)}"}`
      const isOne = isObject(json)
      assert.equal(isOne, isObjectForNode(json), JSON.stringify(json))
      if (isOne) assert.equal(scanner.isAscii, character <= '\u007f', JSON.stringify(json))
    }
  }
})

test('with a piece put in, taken out or doubled, scanner and JSON.parse agree', () => {
  const changed = fc
    .tuple(text, fc.nat(), fc.nat(3), fc.oneof(piece, fc.constant('')))
    .map(([json, at, cut, put]) => {
      const place = at % (json.length + 1)
      return json.slice(0, place) + put + json.slice(place + cut)
    })
  fc.assert(
    // A lone half of a pair cannot be UTF-8, and becomes another character on the way.
    fc.property(changed, (json) => assert.equal(isObject(json), isObjectForNode(json.toWellFormed()), json)),
    { numRuns: 10_000 },
  )
})

test('of texts made of the pieces of JSON, it takes those that JSON.parse takes', () => {
  const built = fc.array(piece, { maxLength: 12 }).map((pieces) => `{${pieces.join('')}}`)
  fc.assert(
    fc.property(built, (json) => assert.equal(isObject(json), isObjectForNode(json), json)),
    { numRuns: 20_000 },
  )
})

for (const [json, is] of [
  ['{}', true],
  ['{"a":{}}', true],
  ['{"a":[]}', true],
  ['{"a":[[],{},[{}]]}', true],
  ['{"a":1}{', false],
  ['{"a":01}', false],
  ['{"a":-}', false],
  ['{"a":1.}', false],
  ['{"a":1e}', false],
  ['{"a":[1,]}', false],
  ['{"a":1,}', false],
  ['{,}', false],
  ['{"a"}', false],
  ['{"a":"\\u12g4"}', false],
  ['{"a":"\\x"}', false],
  ['{"a":"\t"}', false],
  ['{"a":tru', false],
  ['{"a":"', false],
  ['{"a":"\\', false],
  ['[]', false],
  ['', false],
] as const) {
  test(`${JSON.stringify(json)} is ${is ? 'an object' : 'none'}`, () => {
    assert.equal(isObject(json), is)
    assert.equal(isObjectForNode(json), is)
  })
}

test('what is nested deeper than it looks is refused, and what is behind the object is not its own', () => {
  const nested = (depth: number): string => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`
  assert.equal(isObject(nested(64)), true)
  assert.equal(isObject(nested(65)), false)
  const bytes = Buffer.from('..{"a":1},"b":2}')
  assert.equal(scanner.objectEnd(bytes, 2, bytes.length), 9)
  assert.equal(scanner.objectEnd(bytes, 2, 8), NO_JSON)
})
