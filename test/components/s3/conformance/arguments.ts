import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { it } from 'node:test'
import type { S3 } from '../../../../src/components/s3/index.ts'
import type { StageFactory } from '../conformance.ts'

const BAD_KEYS: readonly unknown[] = [
  '',
  '/leading',
  '..',
  'a/../b',
  'a/..',
  './a',
  'a/./b',
  'line\nbreak',
  'nul\0',
  'del\x7f',
  'half \ud83d pair',
  'x'.repeat(1_025),
  'é'.repeat(513),
  undefined,
  null,
  7,
  ['a'],
]

const INVALID = { code: 'SLUICE_INVALID_ARGUMENT' } as const

export function argumentsConformance(stage: StageFactory): void {
  it('keys that lead astray are refused by every operation', async () => {
    await using own = await stage()
    const { api } = own
    const calls: readonly ((key: never) => PromiseLike<unknown>)[] = [
      (key) => api.upload(key, 'x'),
      (key) => api.download(key),
      (key) => api.head(key),
      (key) => api.exists(key),
      (key) => api.delete(key),
      (key) => api.copy(key, 'b'),
      (key) => api.copy('b', key),
      (key) => api.presignGet(key),
      (key) => api.presignPut(key),
    ]
    for (const key of BAD_KEYS)
      for (const call of calls) await assert.rejects(Promise.resolve(call(key as never)), INVALID)
    assert.deepEqual(await Array.fromAsync(api.list()), [])
  })

  it('a message shows a bad key shortened and escaped', async () => {
    await using own = await stage()
    await assert.rejects(own.api.head(`a\n${'x'.repeat(2_000)}`), (error: Error) => {
      assert.ok(error.message.length < 200)
      assert.doesNotMatch(error.message, /\n/)
      return true
    })
  })

  it('wrong options are refused by name, and the stream of a refused upload is destroyed', async () => {
    await using own = await stage()
    const { api } = own
    const wrong: readonly [string, (api: S3) => unknown][] = [
      ['contentType', (s) => s.upload('k', 'x', { contentType: 'a\r\nb: c' })],
      ['cacheControl', (s) => s.upload('k', 'x', { cacheControl: 'ü' })],
      ['contentDisposition', (s) => s.upload('k', 'x', { contentDisposition: 'x'.repeat(2_000) })],
      ['metadata', (s) => s.upload('k', 'x', { metadata: { 'a b': 'c' } })],
      ['metadata', (s) => s.upload('k', 'x', { metadata: { a: 'line\nbreak' } })],
      ['metadata', (s) => s.upload('k', 'x', { metadata: { a: 'x'.repeat(3_000) } })],
      ['metadata', (s) => s.upload('k', 'x', { metadata: { a: '1', A: '2' } })],
      ['partSize', (s) => s.upload('k', 'x', { partSize: '1mb' })],
      ['partSize', (s) => s.upload('k', 'x', { partSize: 'large' })],
      ['partConcurrency', (s) => s.upload('k', Readable.from(['x']), { partConcurrency: 0 })],
      ['size', (s) => s.upload('k', 'x', { size: -1 })],
      ['body', (s) => s.upload('k', 7 as never)],
      ['body', (s) => s.upload('k', null as never)],
      ['body', (s) => s.upload('k', ['x'] as never)],
      ['range.start', (s) => s.download('k', { range: { start: -1 } })],
      ['range.end', (s) => s.download('k', { range: { start: 5, end: 4 } })],
      ['range.last', (s) => s.download('k', { range: { last: 0 } })],
      ['idleTimeout', (s) => s.download('k', { idleTimeout: 'soon' })],
      ['expiresIn', (s) => s.presignGet('k', { expiresIn: '8d' })],
      ['expiresIn', (s) => s.presignGet('k', { expiresIn: 0 })],
      ['size', (s) => s.presignPut('k', { size: 1.5 })],
      ['contentType', (s) => s.presignPut('k', { contentType: 'a\nb' })],
      ['olderThan', (s) => s.sweep({ olderThan: 'soon' })],
    ]
    for (const [option, call] of wrong)
      await assert.rejects(Promise.resolve(call(api)), (error: Error & { code?: string }) => {
        assert.equal(error.code, 'SLUICE_INVALID_ARGUMENT', `${option}: ${error.message}`)
        assert.match(error.message, new RegExp(option.replace('.', '\\.')))
        return true
      })
    for (const options of [{ pageSize: 0 }, { pageSize: 1_001 }, { delimiter: ',' }, { prefix: 'a\nb' }])
      assert.throws(() => api.list(options as never), INVALID)
    const stream = Readable.from(['x'])
    await assert.rejects(api.upload('../x', stream), INVALID)
    assert.equal(stream.destroyed, true)
    assert.deepEqual(await Array.fromAsync(api.list()), [])
  })
}
