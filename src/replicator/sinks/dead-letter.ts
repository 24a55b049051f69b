/** Dead letters that sinks make of changes, and the names under which they keep them. */
import { createHash } from 'node:crypto'
import { DEAD_TEXT_LIMIT, type Change, type DeadLetter, type DeadReason } from '../contract.ts'
import { streamIdText } from '../stream-id.ts'

/** A change that cannot be applied, and why. */
export interface Buried {
  readonly change: Change
  readonly reason: DeadReason
  readonly detail: string
}

export function deadLetter(lane: string, { change, reason, detail }: Buried, timeMs: number): DeadLetter {
  return {
    lane,
    id: change.id,
    streamId: streamIdText(change.at),
    reason,
    detail,
    text: change.json.slice(0, DEAD_TEXT_LIMIT),
    timeMs,
  }
}

/** The same for the same letter, so that a batch that is stored twice leaves it once. */
export function deadLetterKey({ id, streamId, reason, text, timeMs }: DeadLetter): string {
  if (streamId !== '') return `${streamId} ${reason} ${id}`
  const digest = createHash('sha1').update(text).digest('base64url')
  return `${timeMs} ${reason} ${digest}`
}
