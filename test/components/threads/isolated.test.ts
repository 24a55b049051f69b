import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { threads, type ThreadsOptions } from '../../../src/components/threads/index.ts'
import type { SluiceError } from '../../../src/core/errors.ts'
import { runInContext } from '../../../src/telemetry/context.ts'
import { connectComponent, leakCheck } from '../../../src/testing/index.ts'

leakCheck()

const good = new URL('./tasks/good.ts', import.meta.url)
const bad = new URL('./tasks/bad.ts', import.meta.url)

const open = (options: ThreadsOptions = {}) =>
  connectComponent(threads({ maxThreads: 1, memoryLimit: '64mb', ...options }), { name: 'cpu' })

test('an isolated task gets its data and context and gives its result', async () => {
  await using pool = await open()
  const isolated = true
  assert.deepEqual(
    await pool.api.run(good, new Map([[1, new Date(5)]]), { isolated }),
    new Map([[1, new Date(5)]]),
  )
  const context = { requestId: 'r-2' }
  const seen = await runInContext(context, () => pool.api.run(good, 0, { name: 'context', isolated }))
  assert.deepEqual(seen, context)
  assert.deepEqual(await pool.api.run(good, 3, { name: 'bytes', isolated }), new Uint8Array([7, 7, 7]))
})

test('an isolated task that throws, exits, dies or loops says which of those it was', async () => {
  await using pool = await open()
  const run = (name: string, data?: unknown, timeout = 10_000) =>
    pool.api.run(bad, data, { name, timeout, isolated: true })
  await assert.rejects(run('throws'), { message: 'no such customer', name: 'TaskError', code: 'E_TASK' })
  await assert.rejects(run('exits', 3), (error: SluiceError) => {
    assert.equal(error.code, 'SLUICE_THREAD_CRASHED')
    assert.equal(error.details?.['exitCode'], 3)
    return true
  })
  await assert.rejects(run('dies', 'SIGTERM'), (error: SluiceError) => {
    assert.equal(error.code, 'SLUICE_THREAD_CRASHED')
    assert.equal(error.details?.['signal'], 'SIGTERM')
    return true
  })
  await assert.rejects(run('loops', 0, 400), { code: 'SLUICE_TIMEOUT' })
  assert.equal(await pool.api.run(good, 'alive'), 'alive')
})

test('the answer of an isolated task ends it, whatever it left running', async () => {
  const pool = await open()
  const timeout = '60s'
  const child = await pool.api.run<number>(bad, 0, { name: 'leavesATimer', isolated: true, timeout })
  assert.notEqual(child, process.pid)
  await pool.close()
  assert.throws(() => process.kill(child, 0), { code: 'ESRCH' })
})

test('data for an isolated task that cannot be sent is refused, and is no crash', async () => {
  await using pool = await open()
  await assert.rejects(
    pool.api.run(good, () => {}, { isolated: true }),
    { code: 'SLUICE_INVALID_ARGUMENT', message: /good\.ts \(run\).*cannot be sent.*could not be cloned/ },
  )
  assert.equal(pool.component.inspect()['crashed'], 0)
})

test('a result of an isolated task that cannot be sent is refused, and is no crash', async () => {
  await using pool = await open()
  await assert.rejects(pool.api.run(bad, 0, { name: 'returnsFunction', isolated: true }), {
    code: 'SLUICE_INVALID_ARGUMENT',
    message: /bad\.ts \(returnsFunction\).*cannot be sent.*could not be cloned/,
  })
  assert.equal(pool.component.inspect()['crashed'], 0)
})

test('a process that cannot be started fails its task with SLUICE_THREAD_CRASHED', async () => {
  await using pool = await open()
  const { execPath } = process
  process.execPath = '/nowhere/node'
  try {
    await assert.rejects(pool.api.run(good, 1, { isolated: true }), {
      code: 'SLUICE_THREAD_CRASHED',
      message: /no process could be started for task good\.ts/,
    })
  } finally {
    process.execPath = execPath
  }
})

test('one allocation too large for the process fails an isolated task, and nothing else', async () => {
  await using pool = await open()
  await assert.rejects(pool.api.run(bad, 0, { name: 'allocatesAtOnce', isolated: true }), {
    code: 'SLUICE_THREAD_MEMORY',
  })
  assert.equal(await pool.api.run(good, 'alive'), 'alive')
})

test('in a thread that same allocation ends the process, as the guide says', () => {
  const { signal, status } = spawnSync(
    process.execPath,
    ['--conditions=sluice-source', new URL('./fixtures/huge.ts', import.meta.url).pathname],
    { env: { ...process.env, NODE_TEST_CONTEXT: undefined }, encoding: 'utf8' },
  )
  assert.ok(signal === 'SIGABRT' || status === 134, `${signal} ${status}`)
})

test('close cuts an isolated task off at its deadline', async () => {
  const pool = await open()
  const running = pool.api.run(bad, 0, { name: 'loops', isolated: true })
  running.catch(() => {})
  await pool.close(AbortSignal.timeout(100))
  await assert.rejects(running, { code: 'SLUICE_CLOSED' })
})
