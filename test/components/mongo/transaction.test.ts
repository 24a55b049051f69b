/**
 * Transactions: on a replica set where there is one, and what sluice does with the answers of one, behind a responder
 * (see there for what that shows and what not).
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAddress } from '../../../src/components/mongo/address.ts'
import type { MongoOptions } from '../../../src/components/mongo/index.ts'
import type { Clock } from '../../../src/core/clock.ts'
import { ManualClock } from '../../../src/testing/manual-clock.ts'
import { hasCode, missingReplicaSet, missingServer, stage, URL, type Stage } from './support.ts'
import { failure, startResponder, type Responder } from './session-responder.ts'

const skip = await missingServer()
const noReplicaSet = await missingReplicaSet()
/** The responder adds sessions to a server that has none. */
const noResponder = noReplicaSet === false ? 'the server has sessions of its own' : skip

const TRANSIENT = failure(112, 'WriteConflict', 'TransientTransactionError')
const UNKNOWN = failure(91, 'ShutdownInProgress', 'RetryableWriteError', 'UnknownTransactionCommitResult')

interface Responding extends Stage {
  readonly responder: Responder
}

async function responding(options: MongoOptions = {}, clock?: Clock): Promise<Responding> {
  const parsed = parseAddress(URL)
  if ('expected' in parsed) throw new Error(parsed.expected)
  const [host = '127.0.0.1', port = '27017'] = parsed.hosts[0]!.split(':')
  const responder = await startResponder({ host, port: Number(port) })
  const at = await stage({ url: responder.url, ...options }, clock === undefined ? {} : { clock })
  return {
    ...at,
    responder,
    async [Symbol.asyncDispose]() {
      responder.answer = () => undefined
      await at[Symbol.asyncDispose]()
      await responder[Symbol.asyncDispose]()
    },
  }
}

test('without a replica set a transaction is refused with what it needs', { skip: noResponder }, async () => {
  await using at = await stage()
  let runs = 0
  await assert.rejects(
    at.api.transaction(async () => void (runs += 1)),
    hasCode('SLUICE_UNSUPPORTED'),
  )
  assert.equal(runs, 0)
})

test(
  'a transaction is one session with one number: begun once, committed once',
  { skip: noResponder },
  async () => {
    await using at = await responding()
    assert.equal(at.api.status()['topology'], 'replica-set')
    const result = await at.api.transaction(async (tx) => {
      const items = tx.collection<{ _id: number }>('items')
      // At once: they go one after the other.
      await Promise.all([items.insertOne({ _id: 1 }), items.insertOne({ _id: 2 }), items.findOne({ _id: 1 })])
      return tx.attempt
    })
    assert.equal(result, 1)
    assert.deepEqual(at.responder.commands, ['insert', 'insert', 'find', 'commitTransaction'])
    const started = at.responder.seen.map((command) => command['startTransaction'] === undefined)
    assert.deepEqual(started, [false, true, true, true])
    assert.equal(new Set(at.responder.seen.map(({ txnNumber }) => String(txnNumber))).size, 1)
    assert.equal(await at.api.collection('items').count(), 2)
  },
)

test(
  'a function that throws aborts, its error comes as it is, and it is not run again',
  { skip: noResponder },
  async () => {
    await using at = await responding()
    const reason = new Error('no')
    let runs = 0
    await assert.rejects(
      at.api.transaction(async (tx) => {
        runs += 1
        await tx.collection('items').insertOne({ a: 1 })
        throw reason
      }),
      reason,
    )
    assert.equal(runs, 1)
    assert.deepEqual(at.responder.commands, ['insert', 'abortTransaction'])
  },
)

test('a conflict runs the whole again, as often as allowed', { skip: noResponder }, async () => {
  await using at = await responding()
  let conflicts = 2
  at.responder.answer = (name) => (name === 'insert' && conflicts-- > 0 ? TRANSIENT : undefined)
  const attempts: number[] = []
  await at.api.transaction(async (tx) => {
    attempts.push(tx.attempt)
    await tx.collection('items').insertOne({ a: 1 })
  })
  assert.deepEqual(attempts, [1, 2, 3])
  at.responder.answer = (name) => (name === 'insert' ? TRANSIENT : undefined)
  let runs = 0
  await assert.rejects(
    at.api.transaction(
      async (tx) => {
        runs += 1
        await tx.collection('items').insertOne({ a: 1 })
      },
      { retries: 2 },
    ),
    hasCode('SLUICE_CONFLICT'),
  )
  assert.equal(runs, 3)
  await assert.rejects(
    at.api.transaction(async () => undefined, { retries: 21 }),
    hasCode('SLUICE_INVALID_ARGUMENT'),
  )
})

test('a conflict that the caller wrapped is still one', { skip: noResponder }, async () => {
  await using at = await responding()
  let conflicts = 1
  at.responder.answer = (name) => (name === 'insert' && conflicts-- > 0 ? TRANSIENT : undefined)
  const attempt = await at.api.transaction(async (tx) => {
    try {
      await tx.collection('items').insertOne({ a: 1 })
    } catch (error) {
      throw new Error('while the item was stored', { cause: error })
    }
    return tx.attempt
  })
  assert.equal(attempt, 2)
})

test(
  'a commit whose outcome is unknown is sent again, and the function is not run again',
  { skip: noResponder },
  async () => {
    await using at = await responding()
    let unknown = 4
    at.responder.answer = (name) => (name === 'commitTransaction' && unknown-- > 0 ? UNKNOWN : undefined)
    let runs = 0
    await at.api.transaction(async (tx) => {
      runs += 1
      await tx.collection('items').insertOne({ a: 1 })
    })
    assert.equal(runs, 1)
    assert.equal(at.responder.commands.filter((name) => name === 'commitTransaction').length, 5)
    assert.ok(!at.responder.commands.includes('abortTransaction'))
  },
)

test('a commit that was refused for a conflict runs the whole again', { skip: noResponder }, async () => {
  await using at = await responding()
  let conflicts = 1
  at.responder.answer = (name) => (name === 'commitTransaction' && conflicts-- > 0 ? TRANSIENT : undefined)
  const attempt = await at.api.transaction(async (tx) => {
    await tx.collection('items').insertOne({ a: 1 })
    return tx.attempt
  })
  assert.equal(attempt, 2)
})

test(
  'a commit that nobody answers is an unknown outcome at the deadline',
  { skip: noResponder },
  async () => {
    const clock = new ManualClock()
    await using at = await responding({}, clock)
    const committing = Promise.withResolvers<void>()
    at.responder.answer = (name) => {
      if (name !== 'commitTransaction') return undefined
      committing.resolve()
      return 'silence'
    }
    const transaction = at.api.transaction(
      async (tx) => void (await tx.collection('items').insertOne({ a: 1 })),
      { timeout: '30s' },
    )
    const refused = assert.rejects(transaction, hasCode('SLUICE_OUTCOME_UNKNOWN'))
    await committing.promise
    await clock.advance(29_950)
    await refused
  },
)

test(
  'a transaction ends with its deadline and with its signal, whatever its function does',
  { skip: noResponder },
  async () => {
    await using at = await responding()
    const never = new Promise<never>(() => undefined)
    await assert.rejects(
      at.api.transaction(
        async (tx) => {
          await tx.collection('items').insertOne({ a: 1 })
          return never
        },
        { timeout: '300ms' },
      ),
      hasCode('SLUICE_TIMEOUT'),
    )
    const reason = new Error('enough')
    const controller = new AbortController()
    await assert.rejects(
      at.api.transaction(
        async (tx) => {
          await tx.collection('items').insertOne({ a: 1 })
          controller.abort(reason)
          return never
        },
        { signal: controller.signal },
      ),
      reason,
    )
    at.responder.answer = (name) => (name === 'insert' ? TRANSIENT : undefined)
    let runs = 0
    await assert.rejects(
      at.api.transaction(
        async (tx) => {
          runs += 1
          await tx.collection('items').insertOne({ a: 1 })
        },
        { timeout: '50ms', retries: 20 },
      ),
      hasCode('SLUICE_TIMEOUT', 'SLUICE_CONFLICT'),
    )
    assert.ok(runs < 21)
  },
)

test('a connection that is cut inside runs the whole again', { skip: noResponder }, async () => {
  await using at = await responding()
  let cuts = 1
  at.responder.answer = (name) => (name === 'insert' && cuts-- > 0 ? 'cut' : undefined)
  const attempt = await at.api.transaction(async (tx) => {
    await tx.collection('items').insertOne({ a: 1 })
    return tx.attempt
  })
  assert.equal(attempt, 2)
})

test(
  'on a replica set: what is aborted is gone, what is committed is there, nothing is seen before',
  { skip: noReplicaSet },
  async () => {
    await using at = await stage()
    const items = at.api.collection<{ _id: number; n: number }>('items')
    await items.insertOne({ _id: 0, n: 0 })
    await at.api.transaction(async (tx) => {
      await tx.collection<{ _id: number; n: number }>('items').insertOne({ _id: 1, n: 1 })
      assert.equal(await items.count(), 1)
    })
    assert.equal(await items.count(), 2)
    await assert.rejects(
      at.api.transaction(async (tx) => {
        await tx.collection<{ _id: number; n: number }>('items').deleteMany({})
        throw new Error('no')
      }),
      { message: 'no' },
    )
    assert.equal(await items.count(), 2)
  },
)

test('on a replica set: counters that are raised at once lose nothing', { skip: noReplicaSet }, async () => {
  await using at = await stage()
  const items = at.api.collection<{ _id: number; n: number }>('items')
  await items.insertOne({ _id: 0, n: 0 })
  await Promise.all(
    Array.from({ length: 8 }, () =>
      at.api.transaction(
        async (tx) => {
          const own = tx.collection<{ _id: number; n: number }>('items')
          const n = (await own.findOne({ _id: 0 }))?.n ?? 0
          await own.updateOne({ _id: 0 }, { $set: { n: n + 1 } })
        },
        { retries: 20 },
      ),
    ),
  )
  assert.equal((await items.findOne({ _id: 0 }))?.n, 8)
})
