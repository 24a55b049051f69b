/** What came of the orders of a rolling restart, compared with what the customers were told. */
import type pg from 'pg'

export interface RollingVerdict {
  /** Requests that were answered with 201. */
  readonly orders: number
  /** That were answered with something else, or not at all. */
  readonly failed: readonly string[]
  /** Taken, and not stored or never done. */
  readonly lost: readonly string[]
  /** Done more than once. */
  readonly doubles: readonly string[]
  /** Done, or stored, though nobody was told that it was taken. */
  readonly phantoms: readonly string[]
  /** Done before an earlier one of its customer. */
  readonly inversions: readonly string[]
  /** Seconds that were written down, and those that were more than once. */
  readonly slots: number
  readonly slotsTwice: number
}

interface Effect {
  readonly id: string
  readonly customer: string
}

export async function checkRolling(
  db: pg.Client,
  taken: readonly string[],
  failed: readonly string[],
): Promise<RollingVerdict> {
  const effects = await db.query<Effect>('select id, by as customer from chaos_effects order by n')
  const stored = await db.query<{ id: string }>('select id from chaos_orders')
  const slots = await db.query<{ n: number }>('select count(*)::int as n from chaos_slots group by slot')
  // What was not answered may be stored all the same.
  const unknown = new Set(failed.map((text) => text.slice(0, text.indexOf(':'))))
  return {
    orders: taken.length,
    failed,
    ...compare(
      taken,
      effects.rows,
      stored.rows.map(({ id }) => id),
      unknown,
    ),
    slots: slots.rows.length,
    slotsTwice: slots.rows.filter(({ n }) => n > 1).length,
  }
}

/** `effects` in the order in which they were done. */
export function compare(
  taken: readonly string[],
  effects: readonly Effect[],
  stored: readonly string[],
  unknown: ReadonlySet<string>,
): Pick<RollingVerdict, 'lost' | 'doubles' | 'phantoms' | 'inversions'> {
  const done = new Map<string, number>()
  const last = new Map<string, number>()
  const inversions: string[] = []
  for (const { id, customer } of effects) {
    done.set(id, (done.get(id) ?? 0) + 1)
    const n = Number(id.slice(id.lastIndexOf('-') + 1))
    if (n < (last.get(customer) ?? -1)) inversions.push(id)
    last.set(customer, Math.max(n, last.get(customer) ?? -1))
  }
  const isStored = new Set(stored)
  const told = new Set(taken)
  const isKnown = (id: string): boolean => told.has(id) || unknown.has(id)
  return {
    lost: taken.filter((id) => !isStored.has(id) || !done.has(id)),
    doubles: [...done].filter(([, times]) => times > 1).map(([id]) => id),
    phantoms: [...new Set([...isStored, ...done.keys()])].filter((id) => !isKnown(id)),
    inversions,
  }
}
