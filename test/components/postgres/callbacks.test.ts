/** Functions that are handed to the component and that it calls alone: nobody waits for them, and nobody breaks by them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silentLogger, type Logger } from '../../../src/telemetry/log.ts'
import { connected, skip, unique } from './support.ts'

/** A logger, and the first error of each kind that it is told. */
function listeningLog(): { readonly log: Logger; readonly told: (message: string) => Promise<unknown> } {
  const told = new Map<string, PromiseWithResolvers<unknown>>()
  const of = (message: string): PromiseWithResolvers<unknown> => {
    const known = told.get(message) ?? Promise.withResolvers<unknown>()
    told.set(message, known)
    return known
  }
  const log: Logger = {
    ...silentLogger,
    error: (what, message = '') => of(message).resolve((what as { readonly err: unknown }).err),
    child: () => log,
  }
  return { log, told: (message) => of(message).promise }
}

test('what an async function given to afterCommit rejects with is logged', { skip }, async () => {
  const { log, told } = listeningLog()
  await using made = await connected({}, { log })
  const reason = new Error('the cache is away')
  const later: string[] = []
  const value = await made.api.transaction((tx) => {
    tx.afterCommit(async () => {
      await Promise.resolve()
      throw reason
    })
    tx.afterCommit(() => Promise.reject(reason))
    tx.afterCommit(() => later.push('called'))
    return Promise.resolve('committed')
  })
  assert.equal(value, 'committed')
  assert.deepEqual(later, ['called'])
  assert.equal(await told('a function given to afterCommit failed'), reason)
})

test(
  'what an async handler of notifications rejects with is logged, and it is called again',
  { skip },
  async () => {
    const { log, told } = listeningLog()
    await using made = await connected({}, { log })
    const reason = new Error('mine')
    const channel = unique('c')
    const again = Promise.withResolvers<string>()
    await using listening = await made.api.listen(channel, async ({ payload }) => {
      await Promise.resolve()
      if (payload === 'first') throw reason
      again.resolve(payload)
    })
    await made.api.notify(channel, 'first')
    assert.equal(await told('a handler of notifications failed'), reason)
    await made.api.notify(channel, 'second')
    assert.equal(await again.promise, 'second')
    void listening
  },
)

test('a logger that throws does not undo what was committed', { skip }, async () => {
  const broken = (): never => {
    throw new Error('the log is full')
  }
  const log: Logger = { ...silentLogger, error: broken, child: () => log }
  await using made = await connected({}, { log })
  const value = await made.api.transaction((tx) => {
    tx.afterCommit(() => {
      throw new Error('mine')
    })
    tx.afterCommit(() => Promise.reject(new Error('mine')))
    return Promise.resolve('committed')
  })
  assert.equal(value, 'committed')
  // A rejection that nobody handled would be told before this is answered.
  await made.api.query('select 1')
})
