/** What becomes of slots that nobody was there for, and of the next one behind them: each `missed` with each `overlap`. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { Cron, Missed, Overlap } from '../../src/cron/api.ts'
import { cron } from '../../src/cron/index.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { eventually } from '../support/eventually.ts'
import { durableDatabase } from '../support/durable-database.ts'
import { openNode } from './cluster-support.ts'

interface Expected {
  /** Of the three slots that were missed, as soon as somebody is there. */
  readonly started: number
  /** Runs at once, when one more slot came while they ran. */
  readonly most: number
  /** Of all slots in their order, when everything has run. */
  readonly states: readonly string[]
}

const one = ['done']
const MATRIX: Readonly<Record<Missed, Readonly<Record<Overlap, Expected>>>> = {
  skip: {
    skip: { started: 0, most: 1, states: one },
    queue: { started: 0, most: 1, states: one },
    allow: { started: 0, most: 1, states: one },
  },
  once: {
    skip: { started: 1, most: 1, states: ['done', 'skipped'] },
    queue: { started: 1, most: 1, states: ['done', 'done'] },
    allow: { started: 1, most: 2, states: ['done', 'done'] },
  },
  all: {
    // What is caught up with is meant to run each, one after another.
    skip: { started: 1, most: 1, states: ['done', 'done', 'done', 'skipped'] },
    queue: { started: 1, most: 1, states: ['done', 'done', 'done', 'done'] },
    allow: { started: 3, most: 4, states: ['done', 'done', 'done', 'done'] },
  },
}

/** Runs until it is told that all may end. */
class Held {
  readonly #open = Promise.withResolvers<void>()
  started = 0
  running = 0
  most = 0
  readonly fn = async (): Promise<void> => {
    this.started += 1
    this.most = Math.max(this.most, ++this.running)
    await this.#open.promise
    this.running -= 1
  }
  release(): void {
    this.#open.resolve()
  }
}

async function statesOf(api: Cron): Promise<readonly string[]> {
  const runs = await api.history('work')
  return runs.toSorted((a, b) => a.slot.getTime() - b.slot.getTime()).map(({ state }) => state)
}

const HOUR = 3_600_000

for (const missed of Object.keys(MATRIX) as Missed[]) {
  for (const overlap of Object.keys(MATRIX[missed]) as Overlap[]) {
    const expected = MATRIX[missed][overlap]

    test(`missed ${missed} with overlap ${overlap}, in this process`, async () => {
      const clock = new ManualClock(Date.UTC(2026, 0, 1))
      await using open = await connectComponent(cron(), { clock })
      const held = new Held()
      open.api.schedule('work', '@hourly', held.fn, { missed, overlap, timeout: '12h' })
      await open.api.pause('work')
      await clock.advance(3 * HOUR + 600_000)
      await open.api.resume('work')
      await clock.advance(1)
      assert.equal(held.started, expected.started)
      await clock.advance(HOUR)
      held.release()
      await clock.advance(1_000)
      assert.equal(held.most, expected.most)
      assert.deepEqual(await statesOf(open.api), expected.states)
    })
  }
}

suite('in the cluster', { concurrency: 3 }, () => {
  for (const missed of Object.keys(MATRIX) as Missed[]) {
    for (const overlap of Object.keys(MATRIX[missed]) as Overlap[]) {
      const expected = MATRIX[missed][overlap]

      test(`missed ${missed} with overlap ${overlap}`, async () => {
        await using own = await durableDatabase()
        const held = new Held()
        const log: string[] = []
        await using node = await openNode(own.dsn, (api) => {
          api.schedule('work', '@yearly', held.fn, { missed, overlap })
          api.schedule('mark', '@yearly', () => void log.push('mark'))
        })
        // Answered behind the registration.
        await node.api.runNow('mark')
        const dueAt = async (when: string): Promise<void> => {
          await node.db.execute(`update sluice.cron set next_at = ${when} where name = 'work'`)
          await eventually(() =>
            node.db.queryOne(
              `select 1 as one from sluice.cron where name = 'work' and next_at > clock_timestamp()`,
            ),
          )
        }
        await dueAt(`date_trunc('year', clock_timestamp()) - interval '2 years'`)
        await eventually(() => Promise.resolve(held.started === expected.started ? true : undefined))
        // One that is in time, while those before it are under way.
        await dueAt('clock_timestamp()')
        await eventually(async () => {
          const { length } = await node.api.history('work')
          return length === expected.states.length ? true : undefined
        })
        await eventually(() => Promise.resolve(held.most === expected.most ? true : undefined))
        held.release()
        await eventually(async () => {
          const states = await statesOf(node.api)
          return states.every((state) => state === 'done' || state === 'skipped') ? true : undefined
        })
        assert.deepEqual(await statesOf(node.api), expected.states)
        assert.equal(held.most, expected.most)
      })
    }
  }
})
