import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { joinNames, Model } from '../model.ts'
import { compareStreamIds } from '../../../../src/replicator/stream-id.ts'
import { full, gone, id, openSink, partial, type Stage } from '../support.ts'

const RUNS = Number(process.env['SLUICE_PROPERTY_RUNS'] ?? 10)
const KEYS = 5
const NAMES = 4

const change = fc.record({
  key: fc.nat(KEYS - 1),
  kind: fc.constantFrom('full', 'full', 'partial', 'delete'),
  ms: fc.nat(12),
  seq: fc.nat(12),
  name: fc.nat(NAMES - 1),
  value: fc.oneof(fc.constant(null), fc.constant([]), fc.nat(9)),
})

/** Some changes, and whether the session ends after them. */
const step = fc.record({ some: fc.array(change, { maxLength: 6 }), reopens: fc.boolean() })

export function modelConformance(stage: () => Promise<Stage>): void {
  it('whatever comes, in whatever order, the store is what a model says', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink())
    // One store for all runs, each with ids of its own.
    let run = 0
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 15 }), async (steps) => {
        const own = `r${(run += 1)}`
        const model = new Model()
        const handed = new Map<number, string>()
        for (const { some, reopens } of steps) {
          const changes = new Map(
            some.map(({ key, kind, ms, seq, name, value }) => {
              const at = `${ms}-${seq}`
              // A name is of one key for ever, so that the outcome does not hang on who claims it first.
              const data = { names: [`${own}:${key}:${name}`], value }
              const make = kind === 'full' ? full : partial
              const made = kind === 'delete' ? gone(`${own}-${key}`, at) : make(`${own}-${key}`, at, data)
              const before = handed.get(key)
              return [
                key,
                { ...made, ascending: before === undefined || compareStreamIds(id(at), id(before)) > 0 },
              ] as const
            }),
          )
          for (const [key, { at, ascending }] of changes) {
            if (ascending) handed.set(key, `${at.ms}-${at.seq}`)
          }
          const outcome = await open.apply('user', [...changes.values()])
          const expected = model.apply([...changes.values()])
          assert.deepEqual(
            [outcome.applied, outcome.skippedAsOlder, outcome.dead.length],
            [expected.applied, expected.skipped, expected.dead],
          )
          if (reopens) await open.reopen()
        }
        const ids = (await store.ids('user')).filter((id) => id.startsWith(`${own}-`))
        assert.deepEqual(ids, model.ids())
        for (const name of model.ids()) {
          assert.deepEqual(JSON.parse((await store.entity('user', name))!), model.data(name))
        }
        for (let key = 0; key < KEYS; key++) {
          for (let name = 0; name < NAMES; name++) {
            const text = `${own}:${key}:${name}`
            const owner = joinNames(model, text)
            assert.equal(await store.lookup('user', text), owner, text)
          }
        }
      }),
      { numRuns: RUNS },
    )
  })
}
