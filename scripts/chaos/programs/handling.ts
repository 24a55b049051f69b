/** What the handlers of every scenario do: say that they began, take their time, fail at first, have their effect. */
import { channel } from 'node:diagnostics_channel'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Transaction } from '../../../src/components/postgres/index.ts'
import type { Recorder } from '../record.ts'
import { chance } from './setting.ts'

export interface Handling {
  /** Its effect is a line of the ledger. With a signal, some take seconds, and end when it aborts. */
  readonly toLedger: (by: string, id: string, attempt: number, signal?: AbortSignal) => Promise<void>
  /** Its effect is a row in the transaction. */
  readonly toTable: (by: string, id: string, attempt: number, tx: Transaction) => Promise<void>
}

/** Of those that take long. */
const LONG_MS = 2_000
/** The effect is there, and its handler has not answered: in a transaction, before anything of it is committed. */
const hadEffect = channel('sluice:handler.effect')

export function handling(recorder: Recorder): Handling {
  /** One in ten fails the first time, one in ten takes a tenth of a second, of those with a signal a few take long. */
  const begin = async (by: string, id: string, attempt: number, signal?: AbortSignal): Promise<void> => {
    recorder.write({ f: 'start', id, by, attempt })
    const kind = chance(id)
    if (kind < 10 && attempt === 1) {
      recorder.write({ f: 'end', id, by })
      throw new Error('fails at first')
    }
    if (signal !== undefined && kind >= 98) {
      await sleep(LONG_MS, undefined, { signal }).catch((error: unknown) => {
        recorder.write({ f: 'released', id, by })
        throw error
      })
    } else if (kind >= 88) await sleep(kind)
  }
  return {
    async toLedger(by, id, attempt, signal) {
      await begin(by, id, attempt, signal)
      recorder.write({ f: 'effect', id, by })
      hadEffect.publish({ count: 1 })
      recorder.write({ f: 'end', id, by })
    },
    async toTable(by, id, attempt, tx) {
      await begin(by, id, attempt)
      await tx.execute('insert into chaos_effects (id, by) values ($1, $2)', [id, by])
      hadEffect.publish({ count: 1 })
      recorder.write({ f: 'end', id, by })
    },
  }
}
