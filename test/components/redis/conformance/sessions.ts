import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { RedisFactory } from '../conformance.ts'
import { hasCode } from '../support.ts'

interface Data {
  readonly user: string
  readonly roles?: readonly string[]
}

export function sessionsConformance(connect: RedisFactory): void {
  it('a session is found by its id until it is destroyed', async () => {
    await using connected = await connect()
    const sessions = connected.cache.sessions<Data>()
    const id = await sessions.create({ user: 'ada', roles: ['admin'] })
    assert.match(id, /^[A-Za-z0-9_-]{43}$/)
    assert.deepEqual(await sessions.get(id), { user: 'ada', roles: ['admin'] })
    assert.equal(await sessions.set(id, { user: 'ada' }), true)
    assert.deepEqual(await sessions.get(id), { user: 'ada' })
    assert.equal(await sessions.destroy(id), true)
    assert.equal(await sessions.get(id), null)
    assert.equal(await sessions.destroy(id), false)
    assert.equal(await sessions.set(id, { user: 'ada' }), false)
    assert.equal(await sessions.rotate(id), null)
  })
  it('ids are never alike, and the server does not see them', async () => {
    await using connected = await connect()
    const sessions = connected.cache.sessions<Data>()
    const ids = await Promise.all(Array.from({ length: 100 }, () => sessions.create({ user: 'ada' })))
    assert.equal(new Set(ids).size, 100)
    const keys: string[] = []
    for await (const key of connected.cache.scan()) keys.push(key)
    assert.equal(keys.length, 100)
    for (const id of ids) assert.ok(!keys.some((key) => key.includes(id)))
  })
  it('rotating moves the session to a new id, once, and the old one is worth nothing', async () => {
    await using connected = await connect()
    const sessions = connected.cache.sessions<Data>()
    const id = await sessions.create({ user: 'ada' }, { owner: 'ada' })
    const rotated = await Promise.all(Array.from({ length: 10 }, () => sessions.rotate(id)))
    const next = rotated.filter((each) => each !== null)
    assert.equal(next.length, 1)
    assert.equal(await sessions.get(id), null)
    assert.deepEqual(await sessions.get(next[0] as string), { user: 'ada' })
    assert.equal(await sessions.destroyAll('ada'), 1)
    assert.equal(await sessions.get(next[0] as string), null)
  })
  it('every session of an owner can be ended at once', async () => {
    await using connected = await connect()
    const sessions = connected.cache.sessions<Data>()
    const ids = await Promise.all([1, 2, 3].map(() => sessions.create({ user: 'ada' }, { owner: 'ada' })))
    const other = await sessions.create({ user: 'bob' }, { owner: 'bob' })
    await sessions.destroy(ids[0] as string)
    assert.equal(await sessions.destroyAll('ada'), 2)
    assert.equal(await sessions.destroyAll('ada'), 0)
    for (const id of ids) assert.equal(await sessions.get(id), null)
    assert.deepEqual(await sessions.get(other), { user: 'bob' })
  })
  it('destroyAll finds sessions that outlive those made later with a shorter limit', async () => {
    await using connected = await connect()
    const long = connected.cache.sessions<Data>({ absolute: '1h' })
    const short = connected.cache.sessions<Data>({ absolute: '1m', idle: '1m' })
    const id = await long.create({ user: 'ada' }, { owner: 'ada' })
    await short.create({ user: 'ada' }, { owner: 'ada' })
    for await (const key of connected.cache.scan()) {
      const left = await connected.cache.ttl(key)
      // Only the sessions themselves may end with their idle time; the index lasts as long as the longest of them.
      if (/owner|index/.test(key)) assert.ok((left ?? 0) > 30 * 60_000, `${key} ends in ${String(left)} ms`)
    }
    assert.equal(await long.destroyAll('ada'), 2)
    assert.equal(await long.get(id), null)
  })
  it('any text may come as an id, and none but a real one finds anything', async () => {
    await using connected = await connect()
    const sessions = connected.cache.sessions<Data>()
    await sessions.create({ user: 'ada' })
    for (const id of ['', '*', 'none', 'x'.repeat(43), 'x'.repeat(100_000), '\0', '../../etc']) {
      assert.equal(await sessions.get(id), null)
      assert.equal(await sessions.destroy(id), false)
    }
  })
  it('data that is too large, or no JSON, is refused', async () => {
    await using connected = await connect()
    const sessions = connected.cache.sessions<unknown>({ maxBytes: 100 })
    await assert.rejects(sessions.create('x'.repeat(200)), hasCode('SLUICE_INVALID_ARGUMENT'))
    await assert.rejects(sessions.create(undefined), hasCode('SLUICE_INVALID_ARGUMENT'))
    assert.throws(() => connected.cache.sessions({ idle: 0 }), hasCode('SLUICE_INVALID_ARGUMENT'))
  })
  it('names keep kinds of session apart', async () => {
    await using connected = await connect()
    const id = await connected.cache.sessions<Data>({ name: 'web' }).create({ user: 'ada' })
    assert.equal(await connected.cache.sessions<Data>({ name: 'admin' }).get(id), null)
  })
}
