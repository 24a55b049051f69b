/** What the broker writes into a message that it moves: why, from where, and with which routing key it was published. */

export interface Death {
  /** `expired`, `maxlen`, `delivery_limit` or `rejected`; of the last move. */
  readonly reason: string | undefined
  /** When it was moved last. */
  readonly at: Date | undefined
  /** Of the first move: those that it was published with. */
  readonly exchange: string | undefined
  readonly topic: string | undefined
}

/** Undefined where the broker has moved nothing. Whatever else the header holds, nothing throws. */
export function deathOf(headers: Readonly<Record<string, unknown>>): Death | undefined {
  const moves: unknown = headers['x-death']
  if (!Array.isArray(moves) || moves.length === 0) return undefined
  // The newest comes first.
  const last = entryOf(moves[0])
  const first = entryOf(moves.at(-1))
  const { reason, time } = last
  const { exchange, 'routing-keys': keys } = first
  const key: unknown = Array.isArray(keys) ? keys[0] : undefined
  return {
    reason: typeof reason === 'string' ? reason : undefined,
    at: typeof time === 'number' ? new Date(time * 1_000) : undefined,
    exchange: typeof exchange === 'string' ? exchange : undefined,
    topic: typeof key === 'string' ? key : undefined,
  }
}

function entryOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {}
}
