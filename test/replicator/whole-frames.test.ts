/** What is taken out of the bytes of a connection, and what `ws` still gets. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { WholeFrames } from '../../src/replicator/websocket/whole-frames.ts'

const HANDSHAKE = Buffer.from('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n')
const MAX_PAYLOAD = 100_000

/** A frame of the first byte and length given, whose text begins with its number. */
function frameOf(number: number, first: number, length: number): Buffer {
  const body = Buffer.from(String(number).padEnd(length, 'x').slice(0, length))
  if (length < 126) return Buffer.concat([Buffer.from([first, length]), body])
  const header = Buffer.alloc(length <= 0xffff ? 4 : 10)
  header[0] = first
  header[1] = length <= 0xffff ? 126 : 127
  if (length <= 0xffff) header.writeUInt16BE(length, 2)
  else header.writeBigUInt64BE(BigInt(length), 2)
  return Buffer.concat([header, body])
}

/** Half of them, by their first digit. */
const isWanted = (text: string): boolean => /^[02468]/.test(text)

/** Hands bytes over in pieces of these sizes, again and again. */
function feed(frames: WholeFrames, bytes: Buffer, sizes: readonly number[]): void {
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const { room } = frames
    const size = Math.min(sizes[turn % sizes.length]!, room.length, bytes.length - at)
    bytes.copy(room, 0, at, at + size)
    frames.read(size)
    at += size
  }
}

const TEXT = 0x81
const first = fc.oneof(
  { weight: 6, arbitrary: fc.constant(TEXT) },
  { weight: 1, arbitrary: fc.constantFrom(0x01, 0x00, 0x80, 0x82, 0x89, 0x8a, 0xc1) },
)
const length = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: 0, max: 300 }) },
  { weight: 1, arbitrary: fc.constantFrom(125, 126, 127, 65_535, 65_536, 90_000, 120_000) },
)

test('each frame goes one way, whole and in order, wherever the bytes are cut', () => {
  const spec = fc.record({ first, length })
  fc.assert(
    fc.property(
      fc.array(spec, { maxLength: 40 }),
      fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1, maxLength: 10 }),
      (specs, sizes) => {
        const frames = specs.map((each, number) => frameOf(number, each.first, each.length))
        // What `ws` was given, in order; for each message that was taken, how many bytes that was.
        const passed: Buffer[] = []
        const taken: { readonly text: string; readonly passedBefore: number }[] = []
        let passedBytes = 0
        let isFragmented = false
        const expectedTaken: { readonly text: string; readonly passedBefore: number }[] = []
        const expectedPassed: Buffer[] = [HANDSHAKE]
        let expectedBytes = HANDSHAKE.length
        for (const [number, each] of specs.entries()) {
          const frame = frames[number]!
          const text = frame.toString('latin1', each.length < 126 ? 2 : 4)
          const isOurs = each.first === TEXT && each.length <= 0xffff && !isFragmented && isWanted(text)
          if (isOurs) {
            expectedTaken.push({ text, passedBefore: expectedBytes })
          } else {
            expectedPassed.push(frame)
            expectedBytes += frame.length
            if ((each.first & 0x0f) < 8) isFragmented = (each.first & 0x80) === 0
          }
        }
        const whole = new WholeFrames({
          maxPayload: MAX_PAYLOAD,
          isOpen: () => true,
          take(bytes, from, to) {
            const text = bytes.toString('latin1', from, to)
            if (!isWanted(text)) return false
            taken.push({ text, passedBefore: passedBytes })
            return true
          },
          pass(bytes) {
            passed.push(bytes)
            passedBytes += bytes.length
            return true
          },
        })
        // A heartbeat ends it, so that nothing before it is held back.
        const end = frameOf(0, 0x89, 0)
        feed(whole, Buffer.concat([HANDSHAKE, ...frames, end]), sizes)
        assert.deepEqual(taken, expectedTaken)
        assert.equal(Buffer.concat(passed).equals(Buffer.concat([...expectedPassed, end])), true)
      },
    ),
    { numRuns: 300 },
  )
})

function recording(isOpen: () => boolean) {
  const log: string[] = []
  const frames = new WholeFrames({
    maxPayload: MAX_PAYLOAD,
    isOpen,
    take: (bytes, from, to) => log.push(`take ${bytes.toString('latin1', from, to)}`) > 0,
    pass: (bytes) => log.push(`pass ${bytes.length}`) > 100,
  })
  return { log, frames }
}

test('nothing is taken before the handshake is over, or while what was passed waits', () => {
  let isOpen = false
  const { log, frames } = recording(() => isOpen)
  feed(frames, Buffer.concat([HANDSHAKE, frameOf(1, TEXT, 1)]), [1_000])
  isOpen = true
  feed(frames, frameOf(2, TEXT, 1), [1_000])
  assert.deepEqual(log, [`pass ${HANDSHAKE.length}`, 'pass 3', 'take 2'])
})

test('after a frame that closes nothing is taken any more', () => {
  const { log, frames } = recording(() => true)
  feed(frames, Buffer.concat([HANDSHAKE, frameOf(0, 0x88, 2), frameOf(2, TEXT, 1)]), [1_000])
  assert.deepEqual(log, [`pass ${HANDSHAKE.length}`, 'pass 4', 'pass 3'])
})

test('it asks for nothing more while what it passes is not taken', () => {
  const { frames } = recording(() => true)
  HANDSHAKE.copy(frames.room)
  assert.equal(frames.read(HANDSHAKE.length), false)
})
