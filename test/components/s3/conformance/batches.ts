import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { it } from 'node:test'
import type { StageFactory } from '../conformance.ts'

export function batchesConformance(stage: StageFactory): void {
  it('a batch stores each object, with a result at its index', async () => {
    await using own = await stage({ maxRequests: 4 })
    const objects = Array.from({ length: 50 }, (_, at) => ({ key: `batch/${at}`, body: `body ${at}` }))
    const { values, errors } = await own.api.uploadBatch(objects).waitAll()
    assert.deepEqual(
      values.map((value) => value?.key),
      objects.map(({ key }) => key),
    )
    assert.ok(errors.every((error) => error === undefined))
    assert.equal((await Array.fromAsync(own.api.list())).length, 50)
    assert.equal(await (await own.api.download('batch/49')).text(), 'body 49')
  })

  it('one object that cannot be stored leaves the others alone', async () => {
    await using own = await stage()
    const broken = Readable.from(
      (async function* () {
        yield Buffer.from('a')
        throw new Error('the source broke')
      })(),
    )
    const { values, errors } = await own.api
      .uploadBatch([
        { key: 'good', body: 'x', contentType: 'text/plain' },
        { key: '../bad', body: 'x' },
        { key: 'broken', body: broken },
        { key: 'also', body: Readable.from(['stream']) },
      ])
      .waitAll()
    assert.deepEqual(
      values.map((value) => value?.size),
      [1, undefined, undefined, 6],
    )
    assert.deepEqual(
      errors.map((error) =>
        error === undefined ? undefined : ((error as { code?: string }).code ?? error.message),
      ),
      [undefined, 'SLUICE_INVALID_ARGUMENT', 'the source broke', undefined],
    )
    assert.equal((await own.api.head('good')).contentType, 'text/plain')
  })

  it('a batch comes in the order in which its parts are done', async () => {
    await using own = await stage()
    const seen = new Set<number>()
    for await (const item of own.api.uploadBatch(['a', 'b', 'c'].map((key) => ({ key, body: key }))))
      if (item.status === 'fulfilled') seen.add(item.index)
    assert.deepEqual(seen, new Set([0, 1, 2]))
  })

  it('a cancelled batch rejects what was not stored', async () => {
    await using own = await stage({ maxRequests: 1 })
    const batch = own.api.uploadBatch(Array.from({ length: 20 }, (_, at) => ({ key: `${at}`, body: 'x' })))
    const reason = new Error('enough')
    await batch.results[0]
    batch.cancel(reason)
    const { errors } = await batch.waitAll()
    assert.equal(errors[0], undefined)
    assert.equal(errors[19], reason)
  })

  it('many are deleted, those that are not there too, with a result for each', async () => {
    await using own = await stage()
    const keys = Array.from({ length: 1_100 }, (_, at) => `many/${String(at).padStart(4, '0')}`)
    const some = keys.slice(990, 1_010)
    await own.api.uploadBatch(some.map((key) => ({ key, body: '' }))).waitAll()
    await own.api.upload('other', '')
    const { errors } = await own.api.deleteMany([...keys, '', '../x']).waitAll()
    assert.ok(errors.slice(0, keys.length).every((error) => error === undefined))
    assert.deepEqual(
      errors.slice(keys.length).map((error) => (error as { code?: string } | undefined)?.code),
      ['SLUICE_INVALID_ARGUMENT', 'SLUICE_INVALID_ARGUMENT'],
    )
    assert.deepEqual(await Array.fromAsync(own.api.list(), ({ key }) => key), ['other'])
  })

  it('empty batches are done at once', async () => {
    await using own = await stage()
    assert.deepEqual(await own.api.uploadBatch([]).waitAll(), { values: [], errors: [] })
    assert.deepEqual(await own.api.deleteMany([]).waitAll(), { values: [], errors: [] })
  })
}
