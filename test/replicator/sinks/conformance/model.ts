import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { joinNames, Model } from '../model.ts'
import { full, gone, openSink, partial, type Stage } from '../support.ts'

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

export function modelConformance(stage: () => Promise<Stage>): void {
  it('whatever comes, in whatever order, the store is what a model says', async () => {
    await using store = await stage()
    await using open = await openSink(store.sink())
    // One store for all runs, each with ids of its own.
    let run = 0
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(change, { maxLength: 6 }), { maxLength: 15 }), async (batches) => {
        const own = `r${(run += 1)}`
        const model = new Model()
        for (const some of batches) {
          const changes = new Map(
            some.map(({ key, kind, ms, seq, name, value }) => {
              const at = `${ms}-${seq}`
              // A name is of one key for ever, so that the outcome does not hang on who claims it first.
              const data = { names: [`${own}:${key}:${name}`], value }
              if (kind === 'delete') return [key, gone(`${own}-${key}`, at)] as const
              return [
                key,
                kind === 'full' ? full(`${own}-${key}`, at, data) : partial(`${own}-${key}`, at, data),
              ] as const
            }),
          )
          const outcome = await open.apply('user', [...changes.values()])
          const expected = model.apply([...changes.values()])
          assert.deepEqual(
            [outcome.applied, outcome.skippedAsOlder, outcome.dead.length],
            [expected.applied, expected.skipped, expected.dead],
          )
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
