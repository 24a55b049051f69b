/** The events of a chaos run, and who reads them. */
import { z } from 'zod'
import { event } from '../../../src/events/index.ts'

const data = z.object({ id: z.string() })

export const Happened = event('chaos.happened', data)
/** With a key. */
export const Moved = event('chaos.moved', data)

export const SUBSCRIPTIONS = {
  /** Its effect is a line of the ledger. */
  ledger: 'chaos-ledger',
  /** Its effect is a row in the transaction that the handler is given. */
  rows: 'chaos-rows',
  /** One at a time and in order for each key. */
  ordered: 'chaos-ordered',
} as const
