/**
 * Who is to look again: a hint to all processes that something of these people has changed, after it was committed. It
 * says nothing of what, and may be lost: who listens reads the tables, and does so now and then without a hint.
 */
import type { Background } from 'sluice'
import type { Postgres, Transaction } from 'sluice/postgres'

export const LIVE_CHANNEL = 'community_live'
/** A notification of PostgreSQL has less than 8,000 bytes. */
const IDS_AT_ONCE = 350

export interface Telling {
  readonly db: Postgres
  readonly background: Background
}

export function tellLive(tx: Transaction, { db, background }: Telling, userIds: readonly string[]): void {
  for (let from = 0; from < userIds.length; from += IDS_AT_ONCE) {
    const payload = userIds.slice(from, from + IDS_AT_ONCE).join(',')
    tx.afterCommit(() => {
      background.run('community.live', () => db.notify(LIVE_CHANNEL, payload))
    })
  }
}
