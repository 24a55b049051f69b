/** The sink on a server that refuses, forgets, stands still or went back; each test has a server of its own. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { missingServerProgram, ownServer, type OwnServer } from '../../components/redis/own-server.ts'
import { redisStage, type RedisStage } from './redis-stage.ts'
import { batch, eventually, full, gone, hasCode, id, openSink, soon } from './support.ts'

const skip = await missingServerProgram()
const isLost = hasCode('SLUICE_LEASE_LOST')

interface Own extends AsyncDisposable {
  readonly server: OwnServer
  readonly stage: RedisStage
}

async function own(options: Partial<Parameters<typeof redisStage>[0]> = {}): Promise<Own> {
  const server = await ownServer()
  try {
    const stage = await redisStage({ addr: server.addr, ...options })
    return {
      server,
      stage,
      async [Symbol.asyncDispose]() {
        await Promise.resolve(stage[Symbol.asyncDispose]()).catch(() => {})
        await server[Symbol.asyncDispose]()
      },
    }
  } catch (error) {
    await server[Symbol.asyncDispose]()
    throw error
  }
}

/** Of the sink itself: how it calls its units. */
const runs = (sink: { inspect(): Readonly<Record<string, unknown>> }): unknown => sink.inspect()['runs']

test('scripts and functions that the server forgot are given to it again', { skip }, async () => {
  for (const run of ['script', 'function'] as const) {
    await using at = await own({ run })
    await using open = await openSink(at.stage.sink())
    assert.equal(runs(open.sink), run)
    await open.apply('company', [full('a', '1-0', {})])
    await at.stage.redis.command(run === 'script' ? ['SCRIPT', 'FLUSH'] : ['FUNCTION', 'FLUSH'])
    await open.apply('company', [full('b', '1-0', {})])
    await open.sink.check(soon())
    assert.deepEqual(await at.stage.ids('company'), ['a', 'b'])
  }
})

test('a user who may run scripts and load no functions gets scripts', { skip }, async () => {
  await using at = await own()
  await at.stage.redis.command(['ACL', 'SETUSER', 'default', '-function|load'])
  await using open = await openSink(at.stage.sink())
  assert.equal(runs(open.sink), 'script')
  await open.apply('company', [full('a', '1-0', {})])
})

test(
  'a server without memory refuses a batch as a whole, and takes it when there is room',
  { skip },
  async () => {
    for (const run of ['script', 'function'] as const) {
      await using at = await own({ run })
      const { redis } = at.stage
      await using open = await openSink(at.stage.sink())
      await open.apply('company', [full('a', '1-0', { n: 1 })], { cursor: id('1-0') })
      await redis.command(['CONFIG', 'SET', 'maxmemory', '1'])
      const changes = [full('a', '2-0', { n: 2 }), gone('x', '2-0'), full('b', '2-0', {})]
      await assert.rejects(
        open.apply('company', changes, { cursor: id('2-0') }),
        (error) =>
          hasCode('SLUICE_OVERLOADED')(error) && (error as { retryable?: boolean }).retryable === true,
      )
      await assert.rejects(open.sink.check(soon()), hasCode('SLUICE_OVERLOADED'))
      assert.equal(await at.stage.entity('company', 'a'), '{"n":1}')
      await redis.command(['CONFIG', 'SET', 'maxmemory', '0'])
      await open.sink.check(soon())
      assert.equal((await open.apply('company', changes, { cursor: id('2-0') })).applied, 3)
      assert.deepEqual(open.losses, [])
    }
  },
)

test('a replica refuses, for a batch and for the check, until it is the master again', { skip }, async () => {
  await using at = await own()
  const { redis } = at.stage
  await using open = await openSink(at.stage.sink())
  await open.apply('company', [full('a', '1-0', {})])
  // Of a master that cannot be reached, so that the data stays.
  await redis.command(['REPLICAOF', '127.0.0.1', '1'])
  await assert.rejects(open.apply('company', [full('b', '1-0', {})]), hasCode('SLUICE_READ_ONLY'))
  await assert.rejects(open.sink.check(soon()), hasCode('SLUICE_READ_ONLY'))
  await redis.command(['REPLICAOF', 'NO', 'ONE'])
  await open.apply('company', [full('b', '1-0', {})])
  assert.deepEqual(open.losses, [])
})

test('a frozen server is met by a timeout; what arrives late is refused or harmless', { skip }, async () => {
  await using at = await own({ timeout: '2s' })
  await using open = await openSink(at.stage.sink())
  await open.apply('company', [full('a', '1-0', { n: 1 })])
  at.server.freeze()
  try {
    await assert.rejects(
      open.apply('company', [full('a', '2-0', { n: 2 }), full('late', '2-0', {})]),
      hasCode('SLUICE_TIMEOUT'),
    )
  } finally {
    at.server.thaw()
  }
  // Under way again in a newer state; the token was raised, so that the first attempt comes before it or never.
  await eventually(async () => {
    try {
      await open.apply('company', [full('a', '3-0', { n: 3 })])
      return true
    } catch {
      return undefined
    }
  })
  assert.equal(await at.stage.entity('company', 'a'), '{"n":3}')
  assert.deepEqual(open.losses, [])
})

test('a call that was given up cannot come behind what is written after it', { skip }, async () => {
  await using at = await own()
  const { redis } = at.stage
  await using open = await openSink(at.stage.sink())
  const token = (): Promise<unknown> =>
    Promise.resolve(redis.command(['HGET', at.stage.key('company', 'state'), 'token']))
  const before = await token()
  const givenUp = new AbortController()
  const ascending = { ascending: true }
  const first = open.sink.apply(batch('company', [full('a', '2-0', { n: 2 }, ascending)]), givenUp.signal)
  givenUp.abort(new Error('given up'))
  await assert.rejects(first, /given up/)
  await open.apply('company', [full('a', '3-0', { n: 3 }, ascending)])
  assert.notEqual(await token(), before)
  assert.equal(await at.stage.entity('company', 'a'), '{"n":3}')
  assert.deepEqual(open.losses, [])
})

test('a batch that was made for another load is made anew', { skip }, async () => {
  await using at = await own()
  await using open = await openSink(at.stage.sink())
  // As if the answer to the begin of a load had been lost.
  await at.stage.redis.command(['HSET', at.stage.key('company', 'state'), 'mark', '7'])
  assert.equal((await open.apply('company', [full('a', '1-0', {})])).applied, 1)
  const meta = await at.stage.redis.command(['HGET', at.stage.key('company', 'meta'), 'a'])
  assert.match(String(meta), /\+7$/)
})

test('a store that went back in time is noticed, and gives the cursor that it has', { skip }, async () => {
  await using at = await own()
  const { redis } = at.stage
  await using open = await openSink(at.stage.sink(), { lanes: ['company'] })
  await open.apply('company', [full('a', '1-0', { n: 1 })], { cursor: id('1-0') })
  const copies = new Map<string, Buffer>()
  for (const what of ['state', 'meta', 'e:a']) {
    const key = at.stage.key('company', what)
    copies.set(key, (await redis.command(['DUMP', key], { binary: true })) as Buffer)
  }
  await open.apply('company', [full('a', '2-0', { n: 2 })], { cursor: id('2-0') })
  // As a replica that had not seen the last write and was made the master.
  for (const [key, copy] of copies) await redis.command(['RESTORE', key, '0', copy, 'REPLACE'])
  await assert.rejects(open.apply('company', [full('a', '3-0', {})], { cursor: id('3-0') }), isLost)
  assert.equal(open.losses.length, 1)
  assert.deepEqual((await open.reopen()).cursor, id('1-0'))
  assert.equal(await at.stage.entity('company', 'a'), '{"n":1}')
})

test(
  'a server that was killed lost everything; the lease is lost, and the next session is empty',
  { skip },
  async () => {
    await using at = await own()
    await using open = await openSink(at.stage.sink())
    await open.apply('company', [full('a', '1-0', {})], { cursor: id('1-0') })
    await at.server.kill()
    await assert.rejects(open.apply('company', [full('b', '2-0', {})]))
    await at.server.start()
    await at.stage.reconnect()
    await assert.rejects(open.apply('company', [full('b', '2-0', {})]), isLost)
    assert.equal((await open.reopen()).cursor, undefined)
    await open.apply('company', [full('a', '1-0', {})])
  },
)

test(
  'one entity that the server refuses for good is buried; the others of its batch are stored',
  { skip },
  async () => {
    for (const run of ['script', 'function', 'single'] as const) {
      await using at = await own({ run })
      const { redis, keys } = at.stage
      await using open = await openSink(at.stage.sink(), { lanes: ['user'] })
      // Somebody else's list, in the place of another name.
      await redis.rpush(keys.lookup('user', 'mail:bad'), 'x')
      const outcome = await open.apply(
        'user',
        [
          full('a', '1-0', { names: ['mail:a'] }),
          full('bad', '1-0', { names: ['mail:bad'] }),
          full('b', '1-0', { names: ['mail:b'] }),
        ],
        { cursor: id('1-0') },
      )
      assert.equal(outcome.applied, 2, run)
      assert.deepEqual(
        outcome.dead.map(({ change, reason }) => [change.id, reason]),
        [['bad', 'refused']],
      )
      assert.deepEqual(await at.stage.ids('user'), ['a', 'b'])
      assert.equal((await open.sink.deadLetters(5, soon()))[0]?.id, 'bad')
      assert.deepEqual((await open.reopen()).cursor, id('1-0'))
    }
  },
)

test('where everything is refused, nothing is buried and the batch is given back', { skip }, async () => {
  await using at = await own()
  await using open = await openSink(at.stage.sink(), { lanes: ['company'] })
  await at.stage.redis.command(['SET', at.stage.key('company', 'meta'), 'not ours'])
  await assert.rejects(open.apply('company', [full('a', '1-0', {})], { cursor: id('1-0') }))
  assert.deepEqual(await open.sink.deadLetters(5, soon()), [])
  assert.equal((await open.reopen()).cursor, undefined)
})
