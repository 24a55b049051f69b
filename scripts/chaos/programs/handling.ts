/** What the handlers of every scenario do: say that they began, take their time, fail at first, have their effect. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Transaction } from '../../../src/components/postgres/index.ts'
import type { Recorder } from '../record.ts'
import { chance } from './setting.ts'

export interface Handling {
  /** Its effect is a line of the ledger. */
  readonly toLedger: (by: string, id: string, attempt: number) => Promise<void>
  /** Its effect is a row in the transaction. */
  readonly toTable: (by: string, id: string, attempt: number, tx: Transaction) => Promise<void>
}

export function handling(recorder: Recorder): Handling {
  /** One in ten fails the first time, three in ten take up to a tenth of a second. */
  const begin = async (by: string, id: string, attempt: number): Promise<void> => {
    recorder.write({ f: 'start', id, by, attempt })
    const kind = chance(id)
    if (kind < 10 && attempt === 1) {
      recorder.write({ f: 'end', id, by })
      throw new Error('fails at first')
    }
    if (kind >= 70) await sleep(kind)
  }
  return {
    async toLedger(by, id, attempt) {
      await begin(by, id, attempt)
      recorder.write({ f: 'effect', id, by })
      recorder.write({ f: 'end', id, by })
    },
    async toTable(by, id, attempt, tx) {
      await begin(by, id, attempt)
      await tx.execute('insert into chaos_effects (id, by) values ($1, $2)', [id, by])
      recorder.write({ f: 'end', id, by })
    },
  }
}
