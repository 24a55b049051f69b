/**
 * Reads a chain and finds the first record that is wrong, one record at a time however long it is.
 *
 * A record must follow the one before it, and its content must be what was hashed. Where one does not follow, the one
 * after it says whether it was put in between: that one then follows the record before.
 */
import type { ChainHead, Verification } from './api.ts'
import { GENESIS, hashOf, type Hashed } from './canonical.ts'

export interface ChainRow extends Hashed {
  readonly id: string
  readonly prev: string
  readonly hash: string
}

export async function verifyChain(
  rows: AsyncIterable<ChainRow>,
  anchor: ChainHead | undefined,
): Promise<Verification> {
  let records = 0
  let before: ChainRow | undefined
  let last: ChainRow | undefined
  let isAnchored = anchor === undefined
  const iterator = rows[Symbol.asyncIterator]()
  try {
    for (let step = await iterator.next(); step.done !== true; step = await iterator.next()) {
      const row = step.value
      const wrong = (id: string, fault: 'changed' | 'inserted' | 'unlinked'): Verification => ({
        ok: false,
        records,
        id,
        fault,
      })
      const expected = last?.hash ?? GENESIS
      if (row.prev !== expected) {
        if (last !== undefined && row.prev === (before?.hash ?? GENESIS)) return wrong(last.id, 'inserted')
        const next = await iterator.next()
        const isForeign = next.done !== true && next.value.prev === expected
        return wrong(row.id, isForeign ? 'inserted' : 'unlinked')
      }
      if (hashOf(row.prev, row) !== row.hash) return wrong(row.id, 'changed')
      if (row.id === anchor?.id) {
        if (row.hash !== anchor.hash) return wrong(row.id, 'changed')
        isAnchored = true
      }
      records += 1
      before = last
      last = row
    }
  } finally {
    await iterator.return?.()
  }
  if (!isAnchored && anchor !== undefined) return { ok: false, records, id: anchor.id, fault: 'cut' }
  return { ok: true, records, head: last === undefined ? undefined : { id: last.id, hash: last.hash } }
}
