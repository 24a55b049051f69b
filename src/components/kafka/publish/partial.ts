/**
 * What of a request was stored, when the answer of a broker says that some of it was not. The driver repeats the whole
 * request then, and so stores twice what was stored: seen on new topics, of which one partition is there before the
 * other. Here only the rest is repeated, and only where the broker says that it has not stored it.
 */
import { errorTree } from '../client/errors.ts'

export interface StoredAt {
  readonly partition: number
  readonly offset: bigint
}

export interface Partial {
  readonly stored: readonly StoredAt[]
  readonly refused: ReadonlySet<number>
}

/** UNKNOWN_TOPIC_OR_PARTITION, LEADER_NOT_AVAILABLE, NOT_LEADER_OR_FOLLOWER, NOT_ENOUGH_REPLICAS, FENCED_LEADER_EPOCH. */
const REFUSED = new Set([3, 5, 6, 19, 74])

interface Answer {
  readonly responses?: readonly {
    readonly partitionResponses?: readonly {
      readonly index: number
      readonly errorCode: number
      readonly baseOffset: bigint
    }[]
  }[]
}

/** Undefined where it cannot be told, or where something failed for another reason. */
export function partialOf(error: unknown): Partial | undefined {
  const stored = new Map<number, bigint>()
  const refused = new Set<number>()
  for (const each of errorTree(error)) {
    const produced = each['produced'] as { readonly offsets?: readonly StoredAt[] } | undefined
    for (const { partition, offset } of produced?.offsets ?? []) stored.set(partition, offset)
    if (each['code'] !== 'PLT_KFK_RESPONSE') continue
    for (const { partitionResponses } of (each['response'] as Answer | undefined)?.responses ?? []) {
      for (const { index, errorCode, baseOffset } of partitionResponses ?? []) {
        if (errorCode === 0) stored.set(index, baseOffset)
        else if (REFUSED.has(errorCode)) refused.add(index)
        else return undefined
      }
    }
  }
  if (refused.size === 0) return undefined
  return { stored: [...stored].map(([partition, offset]) => ({ partition, offset })), refused }
}
