/**
 * Frames of the stream, read with as little as possible made of them.
 *
 *     {"entity_type":"company","message_type":"full","entity_id":"c1","data":{…},"stream_id":"1700000000000-0"}
 *
 * A frame with its keys in this order is cut at its keys and only `data` is parsed: what is between them is the value of
 * `data` exactly if it parses by itself, so the frame is checked as a whole, and the text of the entity is there without
 * being written again. Any other order is parsed as a whole. Measured with 300 bytes: 1.3 microseconds, as long as parsing
 * the frame alone takes; 1.9 with the entity written again.
 *
 * Frames with `type` are the protocol's own: `subscribed`, `reload`, `heartbeat`, `error`.
 */
import type { DeadReason, EntityData, LaneSpec, Receiver } from '../contract.ts'
import { parseBetween, parseStreamId, type StreamId } from '../stream-id.ts'

/** What the other side says about the stream itself. */
export type Control =
  | { readonly type: 'subscribed'; readonly lane: string; readonly at: StreamId; readonly resumed: boolean }
  | {
      readonly type: 'reload'
      readonly lane: string | undefined
      readonly at: StreamId
      readonly reason: string
    }
  | { readonly type: 'error'; readonly message: string }

export interface FrameHandler {
  readonly receiver: Receiver
  control(control: Control): void
}

interface Route {
  readonly lane: string
  readonly bulk: boolean
}

export const MAX_ID_LENGTH = 512

export type FrameReader = (text: string, handler: FrameHandler) => void

/** A reader of frames for these lanes. It never throws for what is in a frame. */
export function frameReader(lanes: readonly LaneSpec[]): FrameReader {
  const routes = new Map<string, Route>()
  const prefixes: Prefix[] = []
  for (const { name, plural } of lanes) {
    routes.set(name, { lane: name, bulk: false })
    routes.set(plural, { lane: name, bulk: true })
    for (const kind of KINDS) {
      const text = `{"entity_type":${JSON.stringify(name)},"message_type":"${kind}","entity_id":"`
      prefixes.push({ text, lane: name, kind })
    }
  }
  let latest = prefixes[0]
  return (text, handler) => {
    if (latest === undefined || !text.startsWith(latest.text)) {
      const found = prefixes.find((prefix) => text.startsWith(prefix.text))
      if (found === undefined) {
        readSlow(text, routes, handler)
        return
      }
      latest = found
    }
    if (!readFast(text, latest, handler.receiver)) readSlow(text, routes, handler)
  }
}

/** How frames of one lane and kind begin: compared as a whole, the one of the last frame first. */
interface Prefix {
  readonly text: string
  readonly lane: string
  readonly kind: 'full' | 'partial' | 'delete'
}

const KINDS = ['full', 'partial', 'delete'] as const
const DATA_KEY = ',"data":'
const STREAM_KEY = ',"stream_id":"'

/** @returns false where the frame is not of the usual form; nothing was done then */
function readFast(text: string, { text: prefix, lane, kind }: Prefix, receiver: Receiver): boolean {
  const idAt = prefix.length
  let idEnd = idAt
  for (; ; idEnd++) {
    const code = text.charCodeAt(idEnd)
    if (code === QUOTE) break
    // An escape, the end (NaN), or what may not stand in a JSON string as it is.
    if (code === BACKSLASH || !(code >= SPACE)) return false
  }
  if (idEnd === idAt || idEnd - idAt > MAX_ID_LENGTH) return false
  const tail = text.lastIndexOf(STREAM_KEY)
  const end = text.length - 2
  if (tail <= idEnd || text.charCodeAt(end) !== QUOTE || text.charCodeAt(end + 1) !== BRACE) return false
  const at = parseBetween(text, tail + STREAM_KEY.length, end)
  if (at === undefined) return false
  const id = text.slice(idAt, idEnd)
  if (tail === idEnd + 1) {
    if (kind !== 'delete') return false
    receiver.message(lane, kind, id, '', undefined, at)
    return true
  }
  if (!text.startsWith(DATA_KEY, idEnd + 1)) return false
  const json = text.slice(idEnd + 1 + DATA_KEY.length, tail)
  let data: unknown
  try {
    data = JSON.parse(json)
  } catch {
    return false
  }
  if (kind === 'delete') receiver.message(lane, kind, id, '', undefined, at)
  else if (!isObject(data)) return false
  else receiver.message(lane, kind, id, json, data, at)
  return true
}

function readSlow(text: string, routes: ReadonlyMap<string, Route>, handler: FrameHandler): void {
  const { receiver } = handler
  let frame: unknown
  try {
    frame = JSON.parse(text)
  } catch {
    receiver.malformed(text, 'malformed', 'not JSON')
    return
  }
  if (!isObject(frame)) {
    receiver.malformed(text, 'malformed', 'not a JSON object')
    return
  }
  if (typeof frame['type'] === 'string' && frame['message_type'] === undefined) {
    readControl(frame, text, handler)
    return
  }
  const at = parseStreamId(frame['stream_id'])
  const type = frame['entity_type']
  const route = typeof type === 'string' ? routes.get(type) : undefined
  const refuse = (reason: DeadReason, detail: string): void =>
    receiver.malformed(text, reason, detail, route?.lane, at)
  if (at === undefined) return refuse('malformed', 'stream_id is not of the form ms-seq')
  if (route === undefined) return refuse('unknown-type', 'entity_type is of no lane')
  const kind = kindOf(frame['message_type'])
  if (kind === undefined) return refuse('malformed', 'message_type is not full, partial or delete')
  if (!route.bulk) {
    const problem = deliver(receiver, route.lane, kind, frame['entity_id'], frame['data'], at)
    if (problem !== undefined) refuse('malformed', problem)
    return
  }
  const items = frame['data']
  if (!Array.isArray(items)) return refuse('malformed', 'data of a bulk message is not an array')
  for (const item of items as unknown[]) {
    const problem = isObject(item)
      ? deliver(receiver, route.lane, kind, item['entity_id'], item['data'], at)
      : 'an entry of a bulk message is not an object'
    if (problem !== undefined) {
      receiver.malformed(JSON.stringify(item) ?? '', 'malformed', problem, route.lane, at)
    }
  }
  // So that it counts as delivered, too, when it held nothing.
  receiver.reached(at)
}

/** @returns what is wrong */
function deliver(
  receiver: Receiver,
  lane: string,
  kind: 'full' | 'partial' | 'delete',
  id: unknown,
  data: unknown,
  at: StreamId,
): string | undefined {
  if (typeof id !== 'string' || id === '' || id.length > MAX_ID_LENGTH)
    return `entity_id is not a text of 1 to ${MAX_ID_LENGTH} characters`
  if (kind === 'delete') receiver.message(lane, kind, id, '', undefined, at)
  else if (!isObject(data)) return 'data is not a JSON object'
  else receiver.message(lane, kind, id, JSON.stringify(data), data, at)
  return undefined
}

function readControl(frame: Readonly<Record<string, unknown>>, text: string, handler: FrameHandler): void {
  const { type, entity_type: lane, stream_id: id } = frame
  const at = parseStreamId(id)
  if (type === 'error') {
    handler.control({ type, message: typeof frame['message'] === 'string' ? frame['message'] : 'no message' })
  } else if (at === undefined) {
    handler.receiver.malformed(text, 'malformed', 'stream_id is not of the form ms-seq')
  } else if (type === 'heartbeat') {
    handler.receiver.reached(at)
  } else if (type === 'subscribed' && typeof lane === 'string') {
    handler.control({ type, lane, at, resumed: frame['resumed'] === true })
  } else if (type === 'reload') {
    const reason = typeof frame['reason'] === 'string' ? frame['reason'] : 'no reason given'
    handler.control({ type, lane: typeof lane === 'string' ? lane : undefined, at, reason })
  } else {
    handler.receiver.malformed(text, 'malformed', 'type is not one of the protocol')
  }
}

function kindOf(text: unknown): 'full' | 'partial' | 'delete' | undefined {
  return text === 'full' || text === 'partial' || text === 'delete' ? text : undefined
}

function isObject(value: unknown): value is EntityData {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

const QUOTE = 34
const BACKSLASH = 92
const SPACE = 32
const BRACE = 125
