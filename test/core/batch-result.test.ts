import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AsyncResult, fail, fulfil, pendingResult } from '../../src/core/async-result.ts'
import { BatchResult } from '../../src/core/batch-result.ts'
import { SluiceError } from '../../src/core/errors.ts'

const boom = new SluiceError('SLUICE_UNAVAILABLE', 'gone')

test('waitAll gives values and errors at the index of their part', async () => {
  const results = [AsyncResult.resolve('a'), AsyncResult.reject<string>(boom), AsyncResult.resolve('c')]
  const { values, errors } = await BatchResult.of(results).waitAll()
  assert.deepEqual(values, ['a', undefined, 'c'])
  assert.deepEqual(errors, [undefined, boom, undefined])
})

test('for await yields the parts in the order in which they are done', async () => {
  const parts = [
    pendingResult<number>(undefined),
    pendingResult<number>(undefined),
    pendingResult<number>(undefined),
  ]
  const batch = BatchResult.of(parts)
  const seen: string[] = []
  const read = (async () => {
    for await (const item of batch) {
      seen.push(`${item.index} ${item.status === 'fulfilled' ? String(item.value) : item.error.message}`)
    }
  })()
  fulfil(parts[2]!, 30)
  await turn()
  assert.deepEqual(seen, ['2 30'])
  fail(parts[0]!, boom)
  fulfil(parts[1]!, 20)
  await read
  assert.deepEqual(seen, ['2 30', '0 gone', '1 20'])
})

test('a loop that is left early leaves the operations alone', async () => {
  const parts = [pendingResult<number>(undefined), pendingResult<number>(undefined)]
  fulfil(parts[0]!, 1)
  for await (const item of BatchResult.of(parts)) {
    assert.equal(item.index, 0)
    break
  }
  assert.equal(parts[1]!.status, 'pending')
})

test('an empty batch is done', async () => {
  const batch = BatchResult.of<number>([])
  assert.deepEqual(await batch.waitAll(), { values: [], errors: [] })
  for await (const item of batch) assert.fail(`nothing was to come, got ${item.index}`)
})

test('cancel reaches what is not done yet', async () => {
  const parts = [AsyncResult.resolve(1), pendingResult<number>(undefined)]
  const batch = BatchResult.of(parts)
  batch.cancel(boom)
  assert.deepEqual(await batch.waitAll(), { values: [1, undefined], errors: [undefined, boom] })
})

test('a batch of one round trip has a result for each part, and errors among them', async () => {
  const whole = pendingResult<readonly (number | SluiceError)[]>({ name: 'cache: getBatch' })
  const batch = BatchResult.ofWhole(whole, 3)
  assert.equal(batch.size, 3)
  assert.equal(batch.results, batch.results, 'made once')
  const second = assert.rejects(batch.results[1]!, boom)
  fulfil(whole, [1, boom, 3])
  await second
  assert.deepEqual(await Promise.all([batch.results[0], batch.results[2]]), [1, 3])
  assert.equal(batch.results[0]!.name, 'cache: getBatch')
  assert.deepEqual(await batch.waitAll(), { values: [1, undefined, 3], errors: [undefined, boom, undefined] })
})

test('a round trip that fails fails each part, and waitAll still says so by index', async () => {
  const whole = pendingResult<readonly (number | SluiceError)[]>(undefined)
  const batch = BatchResult.ofWhole(whole, 2)
  const parts = batch.results.map((result) => assert.rejects(result, boom))
  fail(whole, boom)
  await Promise.all(parts)
  assert.deepEqual(await batch.waitAll(), { values: [undefined, undefined], errors: [boom, boom] })
})

test('parts that nobody asked for are not reported as unhandled when the round trip fails', async () => {
  const whole = pendingResult<readonly (number | SluiceError)[]>(undefined)
  const batch = BatchResult.ofWhole(whole, 2)
  fail(whole, boom)
  const { errors } = await batch.waitAll()
  await turn()
  assert.deepEqual(errors, [boom, boom])
})

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
