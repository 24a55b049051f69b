/** `sluice replicate` as a process. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { redis } from '../../src/components/redis/index.ts'
import { replicaKeys } from '../../src/replicator/index.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { missingServerProgram, ownServer, type OwnServer } from '../components/redis/own-server.ts'
import { ROOT } from '../support/module-graph.ts'
import { API_KEY, START_MS, startSource } from './support.ts'

const skip = await missingServerProgram()

function replicate(args: readonly string[], env: Readonly<Record<string, string>>) {
  return spawn(
    process.execPath,
    ['--conditions=sluice-source', join(ROOT, 'src/cli/main.ts'), 'replicate', ...args],
    {
      env: { PATH: process.env['PATH'], APP_PORT: '0', APP_HOST: '127.0.0.1', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
}

test('without a source it says what to set, and ends with 78', async () => {
  const child = replicate([], {})
  let said = ''
  child.stderr.on('data', (data: Buffer) => (said += data.toString()))
  assert.deepEqual(await once(child, 'close'), [78, null])
  assert.match(said, /REPLICATOR_SOURCE_URL/)
})

test(
  'it fills Redis from a configuration file, follows, and stores what waits when it is told to stop',
  { skip },
  async () => {
    await using server = await ownServer()
    await using source = await startSource()
    for (let index = 0; index < 30; index++) source.log.seed('company', `c${index}`, { index })
    const directory = await mkdtemp(join(tmpdir(), 'sluice-replicate-'))
    const file = join(directory, 'replicate.yaml')
    await writeFile(
      file,
      `redis:\n  addr: ${server.addr}\nreplicator:\n  source_url: ${source.url}\n  bulk_url: ${source.bulkUrl}\n  key_name: own\n`,
    )
    const child = replicate(['--config', file], { REPLICATOR_API_KEY: API_KEY })
    const closed = once(child, 'close')
    const shown: string[] = []
    child.stderr.on('data', (data: Buffer) => shown.push(data.toString()))
    try {
      for await (const line of createInterface({ input: child.stdout })) {
        shown.push(line)
        if (line.includes('replicator is ready')) break
      }
      source.log.change('company', 'full', 'c1', { index: 'new' }, START_MS + 1)
      source.pump()
      await using cache = await connectComponent(redis({ addr: server.addr }))
      const keys = replicaKeys({ name: 'own' })
      while (
        (await cache.api.getJson<{ readonly index: unknown }>(keys.entity('company', 'c1')))?.index !== 'new'
      );
      child.kill('SIGTERM')
      assert.deepEqual(await closed, [0, null], shown.join('\n'))
      assert.deepEqual(await cache.api.getJson(keys.entity('company', 'c29')), { index: 29 })
      assert.ok(!shown.join('\n').includes(API_KEY))
    } finally {
      child.kill('SIGKILL')
      await rm(directory, { recursive: true, force: true })
    }
  },
)

for (const [what, take] of [
  ['gone', (server: OwnServer) => server.kill()],
  ['frozen', (server: OwnServer) => server.freeze()],
] as const) {
  test(
    `told to stop while Redis is ${what} it stops in order, and says what it leaves`,
    { skip },
    async () => {
      await using server = await ownServer()
      await using source = await startSource()
      const child = replicate([], {
        REDIS_ADDR: server.addr,
        REPLICATOR_SOURCE_URL: source.url,
        REPLICATOR_BULK_URL: source.bulkUrl,
        REPLICATOR_API_KEY: API_KEY,
      })
      const closed = once(child, 'close')
      const shown: string[] = []
      child.stderr.on('data', (data: Buffer) => shown.push(data.toString()))
      const lines = createInterface({ input: child.stdout })
      const [ready, held] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
      lines.on('line', (line) => {
        shown.push(line)
        if (line.includes('replicator is ready')) ready.resolve()
        if (line.includes('a batch could not be stored; it is held')) held.resolve()
      })
      try {
        await ready.promise
        await take(server)
        source.log.change('company', 'full', 'c1', { index: 'new' }, START_MS + 1)
        source.pump()
        await held.promise
        child.kill('SIGTERM')
        assert.deepEqual(await closed, [0, null], shown.join('\n'))
        assert.match(shown.join('\n'), /stops with messages that the sink did not take/)
      } finally {
        child.kill('SIGKILL')
        lines.close()
      }
    },
  )
}
