/**
 * Writes drafts: one statement for those without a chain, a lock and a few statements for each chain.
 *
 * Those with a ticket may be sent again when nobody knows whether they were written: what is there already is found by
 * its ticket, and no second one is made. A write that is still under way is waited for, by the index of tickets or by the
 * lock of the chain.
 */
import { SluiceError } from '../core/errors.ts'
import type { EngineDatabase, Queryable, Transaction } from '../engine/database.ts'
import type { Draft } from './draft.ts'
import { canonicalJson, GENESIS, hashOf, type Json } from './canonical.ts'
import { HEAD, INSERT, INSERT_CHAINED, LOCK_CHAIN, WITH_TICKETS } from './statements.ts'

const LABEL = { label: 'sluice.audit.record' } as const

/** Ids in the order of the drafts; all are written or none. `again`: they may be there. */
export async function writeDrafts(
  db: EngineDatabase,
  drafts: readonly Draft[],
  again = false,
): Promise<readonly string[]> {
  if (drafts.every(({ chain }) => chain === null)) return insert(db, drafts)
  return db.transaction((tx) => writeIn(tx, drafts, again), { ...LABEL, retries: 0 })
}

/** The same in a transaction. Chains are locked in the order of their names, so that writers of several do not meet crosswise. */
export async function writeIn(
  tx: Transaction,
  drafts: readonly Draft[],
  again = false,
): Promise<readonly string[]> {
  const ids = new Map<Draft, string>()
  const keep = (written: readonly Draft[], got: readonly string[]): void =>
    written.forEach((draft, index) => ids.set(draft, got[index] ?? ''))
  const free = drafts.filter(({ chain }) => chain === null)
  if (free.length > 0) keep(free, await insert(tx, free))
  const chains = Map.groupBy(
    drafts.filter(({ chain }) => chain !== null),
    ({ chain }) => chain ?? '',
  )
  for (const [chain, members] of [...chains].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    // Under the lock: who wrote them, if anybody did, has committed.
    await tx.query(LOCK_CHAIN, [chain], LABEL)
    const there = again ? await written(tx, members) : undefined
    for (const draft of members) if (there?.has(draft)) ids.set(draft, there.get(draft) ?? '')
    const missing = members.filter((draft) => !ids.has(draft))
    if (missing.length > 0) keep(missing, await append(tx, chain, missing))
  }
  return drafts.map((draft) => ids.get(draft) ?? '')
}

async function append(tx: Transaction, chain: string, drafts: readonly Draft[]): Promise<readonly string[]> {
  // A statement of its own after the lock: its snapshot has what the writer before committed.
  const head = await tx.queryOne<{ now: Date; hash: string | null }>(HEAD, [chain], LABEL)
  const at = head!.now
  const previous: string[] = []
  const hashes: string[] = []
  let last = head!.hash ?? GENESIS
  for (const draft of drafts) {
    previous.push(last)
    last = hashOf(last, { ...draft, at })
    hashes.push(last)
  }
  const times = drafts.map(() => at.toISOString())
  const values = [...columnsOf(drafts), times, previous, hashes, chain]
  return idsOf(await tx.query<{ id: string }>(INSERT_CHAINED, values, LABEL))
}

async function insert(to: Queryable, drafts: readonly Draft[]): Promise<readonly string[]> {
  const ids = idsOf(await to.query<{ id: string }>(INSERT, columnsOf(drafts), LABEL))
  if (ids.length === drafts.length) return ids
  const there = await written(to, drafts)
  return drafts.map((draft) => {
    const id = there.get(draft)
    if (id === undefined) throw new SluiceError('SLUICE_INTERNAL', 'audit: a record was not stored')
    return id
  })
}

/** Ids of those that are there. */
async function written(to: Queryable, drafts: readonly Draft[]): Promise<ReadonlyMap<Draft, string>> {
  const tickets = drafts.map(({ ticket }) => ticket)
  const rows = await to.query<{ id: string; ticket: string }>(WITH_TICKETS, [tickets], LABEL)
  const byTicket = new Map(rows.map(({ id, ticket }) => [ticket, id]))
  const found = new Map<Draft, string>()
  for (const draft of drafts) {
    const id = draft.ticket === null ? undefined : byTicket.get(draft.ticket)
    if (id !== undefined) found.set(draft, id)
  }
  return found
}

function columnsOf(drafts: readonly Draft[]): readonly (readonly (string | null)[])[] {
  const json = (value: Json): string | null => (value === null ? null : canonicalJson(value))
  return [
    drafts.map(({ actor }) => actor),
    drafts.map(({ action }) => action),
    drafts.map(({ subject }) => subject),
    drafts.map(({ before }) => json(before)),
    drafts.map(({ after }) => json(after)),
    drafts.map(({ meta }) => json(meta)),
    drafts.map(({ ticket }) => ticket),
  ]
}

const idsOf = (rows: readonly { readonly id: string }[]): readonly string[] => rows.map(({ id }) => id)
