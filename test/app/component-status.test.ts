/** What `status()` of a component says about it, as the app hands it out. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ComponentBase, ComponentDefinition } from '../../src/app/component.ts'
import { defineSection } from '../../src/config/section.ts'
import { SluiceError } from '../../src/core/errors.ts'
import type { Operations } from '../../src/telemetry/operate.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'

interface Api extends ComponentBase {
  readonly operations: Operations
}

const RESET_MS = 1_000
const ask = { name: 'ask', idempotent: true }
const gone = () => Promise.reject(new SluiceError('SLUICE_UNAVAILABLE', 'gone'))

function component(breakerThreshold: number): ComponentDefinition<Api> {
  return {
    kind: 'probe',
    section: defineSection({ name: 'probe', fields: {} }),
    overrides: {},
    dependsOn: [],
    workers: 1,
    connectTimeoutMs: 1_000,
    create(context) {
      const operations = context.operations({
        timeoutMs: 10_000,
        maxConcurrent: 10,
        maxWaiting: 10,
        breakerThreshold,
        breakerResetMs: RESET_MS,
        retries: 0,
      })
      return {
        api: { ...context.base, operations },
        connect: async () => {},
        check: async () => {},
        close: async () => {},
        inspect: () => ({ asked: 'nothing' }),
      }
    },
  }
}

test('the state of the breaker is in the status of its component, in each state', async () => {
  const clock = new ManualClock()
  await using made = await connectComponent(component(2), { name: 'db', clock })
  const { operations } = made.api
  const said = () => made.api.status().breaker
  assert.equal(said(), 'closed')
  for (let n = 0; n < 2; n++) await assert.rejects(operations.run(ask, gone))
  assert.equal(said(), 'open')
  await clock.advance(RESET_MS)
  const answer = Promise.withResolvers<string>()
  const probe = operations.run(ask, () => answer.promise)
  assert.equal(said(), 'half-open')
  answer.resolve('here')
  await probe
  assert.equal(said(), 'closed')
  operations.breaker?.hold('open')
  assert.equal(said(), 'held')
})

test('a component without a breaker says null, and what it says of itself changes none of it', async () => {
  await using made = await connectComponent(component(0), { name: 'db' })
  const status = made.api.status()
  assert.equal(status.breaker, null)
  assert.equal(status['asked'], 'nothing')
  assert.equal(status.state, 'ready')
})
