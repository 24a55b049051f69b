/**
 * A source of the replicator's stream in a process of its own: a WebSocket server that sends full states as fast as they
 * are taken, or at a rate.
 *
 * The frames of a round over all keys lie behind each other in memory, made once; for each message its stream id is written
 * over, and hundreds leave in one call, so that the source costs a fraction of what is measured. `{"action":"burst",…}` on any connection starts one on those that subscribed
 * under its path. `GET /rows` has the pages of a load.
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { WebSocketServer } from 'ws'
import type { Burst, SourceAnswer, SourceQuestion } from './replicator-talk.ts'

const KEYS = 20_000
const ENTITY_BYTES = 300
const LANES = ['company', 'user'] as const
const CHUNK = 256
const DIGITS = 16
const FRAME_END = '"}'.length

interface Loop {
  readonly bytes: Buffer
  readonly keys: readonly number[]
  /** Where the frame of each message begins, and the last ends. */
  readonly starts: readonly number[]
}

// Above what an earlier run left in the store.
const MS = String(Date.now())

/** By the number of hot keys. */
const loops = new Map<number, Loop>()
const subscribers = new Map<Socket, string>()
let sequence = 0
/** Of the last message of each key; 0 for none. */
const lastSequence = new Float64Array(KEYS)
let bursting: Promise<void> = Promise.resolve()

const server = createServer((request, response) => {
  const { searchParams } = new URL(request.url ?? '/', 'http://localhost')
  const asked = (name: string, otherwise: number): number => Number(searchParams.get(name) ?? otherwise)
  const lane = LANES.indexOf(searchParams.get('entity_type') as (typeof LANES)[number])
  response.end(page(lane, asked('cursor', 0), asked('limit', 1_000), asked('keys', KEYS)))
})
new WebSocketServer({ server, perMessageDeflate: false }).on('connection', (socket, request) => {
  const raw = request.socket
  raw.setMaxListeners(0)
  socket.on('error', () => {})
  socket.on('close', () => subscribers.delete(raw))
  socket.on('message', (data: Buffer) => {
    const message = JSON.parse(data.toString()) as
      (Burst & { action: 'burst' }) | { action: 'subscribe'; entity_type: string }
    if (message.action === 'burst') {
      bursting = bursting.then(() => burst(message))
      return
    }
    socket.send(
      JSON.stringify({
        type: 'subscribed',
        entity_type: message.entity_type,
        resumed: true,
        stream_id: `${MS}-${sequence}`,
      }),
    )
    subscribers.set(raw, request.url ?? '')
  })
})
server.listen(0, '127.0.0.1')
await once(server, 'listening')
process.send?.({ port: (server.address() as AddressInfo).port })
process.on('message', ({ ask }: SourceQuestion) => {
  const { user, system } = process.cpuUsage()
  const answer: SourceAnswer = { cpuUs: user + system, ...(ask === 'last' ? { last: lastIds() } : {}) }
  process.send?.(answer)
})
process.on('disconnect', () => process.exit())

async function burst({ path, count, rate, hot }: Burst): Promise<void> {
  const loop = loops.get(hot) ?? loopOf(hot)
  loops.set(hot, loop)
  const startedAt = performance.now()
  for (let sent = 0; sent < count;) {
    let chunk = CHUNK
    if (rate > 0) {
      const due = Math.floor(((performance.now() - startedAt) / 1_000) * rate) - sent
      if (due <= 0) {
        await delay(1)
        continue
      }
      chunk = due
    }
    chunk = Math.min(chunk, count - sent)
    chunk = Math.min(chunk, KEYS - (sent % KEYS))
    const bytes = stamped(loop, sent % KEYS, chunk)
    sent += chunk
    const waits: Promise<void>[] = []
    for (const [socket, of] of subscribers)
      if (of === path && !socket.write(bytes)) waits.push(drained(socket))
    if (waits.length > 0) await Promise.all(waits)
  }
}

/** The frames of some messages, with the next stream ids. What a socket still has of them is sent long before they come again. */
function stamped({ bytes, keys, starts }: Loop, from: number, count: number): Buffer {
  for (let n = from; n < from + count; n++) {
    sequence += 1
    lastSequence[keys[n]!] = sequence
    // Ids ascend, so that the digits before are zeros.
    for (let left = sequence, at = starts[n + 1]! - FRAME_END - 1; left > 0; at--) {
      const rest = Math.floor(left / 10)
      bytes[at] = 48 + (left - 10 * rest)
      left = rest
    }
  }
  return bytes.subarray(starts[from]!, starts[from + count]!)
}

/** The order of keys is the same again after so many messages as there are keys. */
function loopOf(hot: number): Loop {
  const keys = Array.from({ length: KEYS }, (_, n) => keyOf(n, hot))
  const frames = keys.map(frameOf)
  let end = 0
  const starts = [0, ...frames.map((frame) => (end += frame.length))]
  return { bytes: Buffer.concat(frames), keys, starts }
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off('drain', done).off('close', done)
      resolve()
    }
    socket.on('drain', done).on('close', done)
  })
}

/** A prime step visits every key in turn; the hot ones are visited nine times of ten. */
function keyOf(n: number, hot: number): number {
  if (hot > 0 && n % 10 !== 0) return (n * 7_919) % hot
  return (n * 7_919) % KEYS
}

function lastIds(): Readonly<Record<string, string>> {
  const last: Record<string, string> = {}
  for (const [key, at] of lastSequence.entries()) if (at > 0) last[`e${key}`] = `${MS}-${at}`
  return last
}

/** Rows from `from` on, of a lane that has its share of `keys`. */
function page(lane: number, from: number, limit: number, keys: number): string {
  const rows: string[] = []
  const total = Math.floor(keys / LANES.length)
  const end = Math.min(total, from + limit)
  for (let row = from; row < end; row++) {
    const key = row * LANES.length + lane
    rows.push(`{"entity_id":"e${key}","data":${JSON.stringify(entityOf(key))}}`)
  }
  const next = end < total ? `"${end}"` : 'null'
  return `{"stream_id":"${MS}-${sequence}","total":${total},"rows":[${rows.join(',')}],"next":${next}}`
}

function entityOf(key: number): Readonly<Record<string, unknown>> {
  const head = { id: `e${key}`, plan: 'pro', active: true, tags: ['a', 'b'], score: key / 7, note: '' }
  return { ...head, note: 'x'.repeat(ENTITY_BYTES - JSON.stringify(head).length) }
}

function frameOf(key: number): Buffer {
  const text = JSON.stringify({
    entity_type: LANES[key % LANES.length],
    message_type: 'full',
    entity_id: `e${key}`,
    data: entityOf(key),
    stream_id: `${MS}-${'0'.repeat(DIGITS)}`,
  })
  const body = Buffer.from(text)
  // A final text frame with a length of two bytes.
  return Buffer.concat([Buffer.from([0x81, 126, body.length >> 8, body.length & 255]), body])
}
