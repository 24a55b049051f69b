import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Constant } from '../../../src/replicator/sinks/redis/constant.ts'
import { orderKey } from '../../../src/replicator/sinks/redis/order-key.ts'
import { Packer, Packers } from '../../../src/replicator/sinks/redis/packer.ts'

/** Reads what a packer writes by the published format, and nothing else of it. */
function unpack(bytes: Buffer): string[][] {
  const lists: string[][] = []
  let at = 0
  while (at < bytes.length) {
    assert.equal(bytes[at], 0xdd, 'a list of 32 bits')
    const list: string[] = []
    const count = bytes.readUInt32BE(at + 1)
    at += 5
    for (let each = 0; each < count; each++) {
      const type = bytes[at]!
      let length: number
      if (type >> 5 === 5) [length, at] = [type & 31, at + 1]
      else if (type === 0xda) [length, at] = [bytes.readUInt16BE(at + 1), at + 3]
      else {
        assert.equal(type, 0xdb)
        ;[length, at] = [bytes.readUInt32BE(at + 1), at + 5]
      }
      list.push(bytes.toString('utf8', at, at + length))
      at += length
    }
    lists.push(list)
  }
  return lists
}

const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 40 }),
  fc
    .constantFrom(31, 32, 21_845, 21_846, 70_000)
    .chain((length) => fc.constantFrom('x', 'ü', '€').map((character) => character.repeat(length))),
)

test('texts of any length and any characters come out as they went in', () => {
  const packer = new Packer()
  fc.assert(
    fc.property(fc.array(fc.array(text, { maxLength: 6 }), { maxLength: 4 }), (lists) => {
      packer.reset()
      for (const list of lists) {
        packer.list(list.length)
        for (const each of list) packer.text(each)
      }
      assert.deepEqual(unpack(packer.bytes), lists)
    }),
    { numRuns: 200 },
  )
})

test('a text behind a prefix is one text', () => {
  const packer = new Packer()
  const ids = ['a', 'ü'.repeat(40), 'x'.repeat(512), '\0', '']
  const bytes = ids.map((id) => Buffer.from(id))
  for (const prefix of ['', 'a', 'ab', 'abc', 'abcd', 'ü:{a}:', 'x'.repeat(4_099)]) {
    const constant = new Constant(prefix)
    const expected = ids.map((id) => prefix + id)
    packer.reset()
    packer.list(ids.length)
    for (const id of ids) packer.textBehind(constant, id)
    packer.list(ids.length)
    for (const id of bytes) packer.utf8Behind(constant, id, 0, id.length)
    assert.deepEqual(unpack(packer.bytes), [expected, expected])
  }
})

test('a version is packed as its order key', () => {
  const packer = new Packer()
  const part = fc.oneof(
    fc.nat(),
    fc.maxSafeNat(),
    fc.constantFrom(0, 9, 10, 99, 100, Number.MAX_SAFE_INTEGER),
  )
  const tail = fc.constantFrom('', '\0mail:a', '\0ü\0b', 'x'.repeat(400))
  fc.assert(
    fc.property(fc.array(fc.tuple(part, part, tail), { maxLength: 5 }), (versions) => {
      packer.reset()
      packer.list(versions.length)
      for (const [ms, seq, names] of versions) packer.version({ ms, seq }, '+12', names)
      const expected = versions.map(([ms, seq, names]) => `${orderKey({ ms, seq })}+12${names}`)
      assert.deepEqual(unpack(packer.bytes), [expected])
    }),
    { numRuns: 500 },
  )
})

test('what was given back is written over, and what grew large is let go', () => {
  const packers = new Packers()
  const first = packers.take()
  assert.notEqual(packers.take(), first)
  first.list(0)
  packers.give(first)
  assert.equal(packers.take(), first)
  assert.equal(first.bytes.length, 0)
  first.text('x'.repeat(3_000_000))
  packers.give(first)
  assert.notEqual(packers.take(), first)
})
