import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { RedisFactory } from '../conformance.ts'
import { hasCode } from '../support.ts'

export function batchesConformance(connect: RedisFactory): void {
  it('a batch of gets has each value at the place of its key', async () => {
    await using connected = await connect()
    const { cache } = connected
    await cache.setBatch({ a: '1', b: 2, c: Buffer.from('3') }).waitAll()
    assert.deepEqual((await cache.getBatch(['c', 'none', 'a', 'b']).waitAll()).values, ['3', null, '1', '2'])
    assert.equal(await cache.getBatch(['a']).results[0], '1')
    assert.deepEqual((await cache.getBatch([]).waitAll()).values, [])
  })
  it('thousands of keys are written, read and deleted in batches', async () => {
    await using connected = await connect()
    const { cache } = connected
    const keys = Array.from({ length: 2_500 }, (_, at) => `key:${at}`)
    await cache.setBatch(Object.fromEntries(keys.map((key, at) => [key, at]))).waitAll()
    const { values } = await cache.getBatch(keys).waitAll()
    assert.deepEqual(
      values,
      keys.map((_, at) => String(at)),
    )
    const deleted = await cache.delBatch([...keys, 'none']).waitAll()
    assert.equal(deleted.values.filter(Boolean).length, 2_500)
    assert.equal(deleted.values[2_500], false)
  })
  it('a batch of sets takes a time to live and conditions', async () => {
    await using connected = await connect()
    const { cache } = connected
    await cache.set('a', 'old')
    const { values } = await cache.setBatch({ a: '1', b: '2' }, { ttl: '1h', when: 'absent' }).waitAll()
    assert.deepEqual(values, [false, true])
    assert.notEqual(await cache.ttl('b'), Infinity)
    assert.equal(await cache.get('a'), 'old')
  })
  it('in a pipeline each command fails or succeeds by itself', async () => {
    await using connected = await connect()
    const { cache } = connected
    await cache.sadd('s', 'x')
    const batch = cache.pipeline((p) => [p.set('a', '1'), p.get('s'), p.incr('a'), p.getBuffer('a')])
    const { values, errors } = await batch.waitAll()
    assert.deepEqual(values, [true, undefined, 2, Buffer.from('2')])
    assert.deepEqual(
      errors.map((error) => error !== undefined && hasCode('SLUICE_QUERY')(error)),
      [false, true, false, false],
    )
  })
  it('a transaction gives the values of its commands, typed in order', async () => {
    await using connected = await connect()
    const { cache } = connected
    const [isSet, count, text, fields] = await cache.multi((p) => [
      p.set('a', '1'),
      p.incr('a', 4),
      p.get('a'),
      p.hgetall('none'),
    ])
    const typed: readonly [boolean, number, string | null, unknown] = [isSet, count, text, fields]
    assert.deepEqual(typed, [true, 5, '5', null])
  })
  it('a transaction rejects with the first command that failed; the others have run', async () => {
    await using connected = await connect()
    const { cache } = connected
    await cache.sadd('s', 'x')
    await assert.rejects(
      cache.multi((p) => [p.set('a', '1'), p.incr('s'), p.set('b', '2')]),
      (error) =>
        hasCode('SLUICE_QUERY')(error) && (error as { details?: { index?: number } }).details?.index === 1,
    )
    assert.equal(await cache.get('b'), '2')
  })
  it('a wrong argument in a batch or transaction is found before anything is sent', async () => {
    await using connected = await connect()
    const { cache } = connected
    await assert.rejects(
      cache.multi((p) => [p.set('a', '1'), p.get(5 as never)]),
      hasCode('SLUICE_INVALID_ARGUMENT'),
    )
    assert.throws(
      () => cache.pipeline((p) => [p.set('a', '1'), p.get(5 as never)]),
      hasCode('SLUICE_INVALID_ARGUMENT'),
    )
    for (const batch of [
      cache.getBatch(['a', 5 as never]),
      cache.setBatch({ a: '1', b: undefined as never }),
      cache.setBatch({ a: '1', b: NaN }, { ttl: '1s' }),
      cache.delBatch(Array.from({ length: 100_001 }, () => 'k')),
    ]) {
      const { errors } = await batch.waitAll()
      assert.ok(errors.every(hasCode('SLUICE_INVALID_ARGUMENT')))
    }
    await assert.rejects(
      cache.multi(() => []),
      hasCode('SLUICE_INVALID_ARGUMENT'),
    )
    assert.equal(await cache.exists('a'), false)
  })
}
