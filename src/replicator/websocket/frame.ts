/**
 * Frames of the stream. Those of one entity in their usual form are read from their bytes (entity-frame.ts); any other order
 * of keys, bulk messages and what is wrong is parsed as a whole here.
 *
 * Frames with `type` are the protocol's own: `subscribed`, `reload`, `heartbeat`, `error`.
 */
import type { DeadReason, EntityData, LaneSpec, Receiver } from '../contract.ts'
import { parseStreamId, type StreamId } from '../stream-id.ts'
import { entityFrameReader, MAX_ID_LENGTH } from './entity-frame.ts'

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

export interface FrameReader {
  /** Reads a frame of one entity in its usual form; false for any other, and nothing was done. It may be no UTF-8. */
  entity(bytes: Buffer, from: number, to: number, receiver: Receiver): boolean
  /** Reads any frame, which has to be UTF-8. */
  any(bytes: Buffer, handler: FrameHandler): void
}

/** A reader of frames for these lanes. It never throws for what is in a frame. */
export function frameReader(lanes: readonly LaneSpec[]): FrameReader {
  const routes = new Map<string, Route>()
  for (const { name, plural } of lanes) {
    routes.set(name, { lane: name, bulk: false })
    routes.set(plural, { lane: name, bulk: true })
  }
  const entity = entityFrameReader(lanes)
  return {
    entity,
    any(bytes, handler) {
      if (!entity(bytes, 0, bytes.length, handler.receiver)) readAny(bytes.toString('utf8'), routes, handler)
    },
  }
}

function readAny(text: string, routes: ReadonlyMap<string, Route>, handler: FrameHandler): void {
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
