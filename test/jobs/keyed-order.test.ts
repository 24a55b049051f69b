/** The order of many long keys, shared by eight workers, while attempts fail everywhere. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { job, type JobContext } from '../../src/jobs/index.ts'
import { testJobs } from './support.ts'

const KEYS = 100
const EACH = 1_000
const WORKERS = 8
/** Every so many attempts one fails. More than once in each key, and at other places in each. */
const FAILS_EVERY = 23

const Step = job('step', z.object({ key: z.int(), at: z.int() }), {
  attempts: 50,
  backoff: { base: 1, max: 2 },
  concurrency: 100,
})
type Step = { readonly key: number; readonly at: number }

test('a hundred keys of a thousand jobs each keep their order', { timeout: 150_000 }, async (t) => {
  await using it = await testJobs()
  const peers = await Promise.all(Array.from({ length: WORKERS - 1 }, () => it.peer()))
  const next = Array.from({ length: KEYS }, () => 0)
  const running = new Set<number>()
  const broken: string[] = []
  const complete = Promise.withResolvers<void>()
  const did = Array.from({ length: WORKERS }, () => 0)
  let [begun, failed, left] = [0, 0, KEYS * EACH]
  const handlerOf =
    (worker: number) =>
    async ({ data: { key, at } }: JobContext<Step>): Promise<void> => {
      if (running.has(key)) broken.push(`${key}: ${at} beside another`)
      if (at !== next[key]) broken.push(`${key}: ${at} instead of ${next[key]}`)
      running.add(key)
      begun += 1
      const fails = begun % FAILS_EVERY === 0
      await new Promise((resolve) => setImmediate(resolve))
      running.delete(key)
      if (fails) {
        failed += 1
        throw new Error('again')
      }
      next[key] = at + 1
      did[worker]! += 1
      left -= 1
      if (left === 0 || broken.length > 10) complete.resolve()
    }
  it.jobs.handle(Step, handlerOf(0))
  for (const [n, { api }] of peers.entries()) api.handle(Step, handlerOf(n + 1))
  const began = performance.now()
  for (let from = 0; from < EACH; from += 50) {
    await it.jobs.enqueueMany(
      Step,
      Array.from({ length: 50 * KEYS }, (_, n) => {
        const [key, at] = [n % KEYS, from + Math.floor(n / KEYS)]
        return { data: { key, at }, key: `k${key}` }
      }),
    )
  }
  await complete.promise
  t.diagnostic(
    `${begun} attempts, ${failed} failed, ${Math.round(performance.now() - began)} ms; ${did.join(' ')}`,
  )
  assert.deepEqual(broken, [])
  assert.ok(failed > KEYS)
  assert.ok(did.filter((count) => count > 0).length > 1, 'several workers took part')
})
