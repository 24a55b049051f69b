/** Who reads the events of a chaos run. */
import type { Events, Subscription } from '../../../src/events/index.ts'
import type { Recorder } from '../record.ts'
import { Happened, Moved, SUBSCRIPTIONS } from './events.ts'
import { handling } from './handling.ts'

const OPTIONS = {
  from: 'beginning',
  attempts: 50,
  shards: 8,
  timeout: '20s',
  backoff: { base: '20ms', max: '500ms' },
} as const

export function subscribeAll(log: Events, recorder: Recorder): readonly Subscription[] {
  const { toLedger, toTable } = handling(recorder)
  const { ledger, rows, ordered } = SUBSCRIPTIONS
  return [
    log.subscribe(Happened, ledger, ({ data, attempt }) => toLedger(ledger, data.id, attempt), OPTIONS),
    log.subscribe(Happened, rows, ({ data, attempt, tx }) => toTable(rows, data.id, attempt, tx), {
      ...OPTIONS,
      transaction: true,
    }),
    log.subscribe(Moved, ordered, ({ data, attempt }) => toLedger(ordered, data.id, attempt), {
      ...OPTIONS,
      ordered: 'key',
    }),
  ]
}
