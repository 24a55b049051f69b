import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { durableDatabase } from '../support/durable-database.ts'
import { serverAt } from '../support/servers.ts'
import { temporaryDirectory } from '../config/support.ts'
import { PROGRAMS, sluice } from './command.ts'

interface Report {
  readonly ok: boolean
  readonly components: readonly {
    readonly name: string
    readonly state: string
    readonly address: string | null
    readonly version: string | null
    readonly connectMs: number | null
    readonly latencyMs: number | null
    readonly code: string | null
    readonly error: string | null
    readonly advice: string | null
  }[]
  readonly problems: readonly object[]
}

const redis = await serverAt('redis')

test('doctor connects to real servers and shows version and latency', { skip: redis.skip }, async () => {
  await using database = await durableDatabase()
  const { code, out, err } = await sluice(['doctor', 'exported.ts', '--json'], {
    env: { POSTGRES_DSN: database.dsn, REDIS_ADDR: redis.url },
  })
  assert.equal(code, 0, out + err)
  const report = JSON.parse(out) as Report
  assert.equal(report.ok, true)
  assert.deepEqual(
    report.components.map((each) => [each.name, each.state]),
    [
      ['db', 'ok'],
      ['cache', 'ok'],
    ],
  )
  for (const each of report.components) {
    assert.ok((each.connectMs ?? 0) > 0 && (each.latencyMs ?? 0) > 0, each.name)
    assert.match(each.version ?? '', /^\d+\.\d+/, each.name)
  }
})

test('doctor looks for the tables of what lives in a database, and registers no worker', async () => {
  await using database = await durableDatabase()
  const env = { POSTGRES_DSN: database.dsn }
  const before = await sluice(['doctor', 'durable.ts'], { env })
  assert.equal(before.code, 0, before.out + before.err)
  for (const [name, kind] of [
    ['work', 'jobs'],
    ['news', 'events'],
    ['clock', 'cron'],
  ]) {
    assert.match(before.out, new RegExp(`^ok +${name} +\\(${kind}\\) +no tables yet, connected in`, 'm'))
  }
  assert.equal((await sluice(['migrate'], { env })).code, 0)
  const after = await sluice(['doctor', 'durable.ts'], { env })
  assert.match(after.out, /^ok +work +\(jobs\) +tables of version \d+, connected in/m)
})

test('doctor starts the embedded database of a program, and leaves nothing running', async () => {
  await using directory = await temporaryDirectory()
  const { code, out, err } = await sluice(['doctor', join(PROGRAMS, 'exported.ts')], { cwd: directory.path })
  assert.equal(code, 0, out + err)
  assert.match(out, /^ok +db +\(postgres\) +\d+\.\d+, embedded, connected in /m)
  assert.match(out, /^ok +cache +\(redis\) +in memory, /m)
  const left = spawnSync('ps', ['-A', '-o', 'args'], { encoding: 'utf8' }).stdout
  assert.ok(!left.includes(directory.path), left)
})

test('doctor without a program looks only at what is configured', { skip: redis.skip }, async () => {
  const { code, out } = await sluice(['doctor'], { env: { REDIS_ADDR: redis.url } })
  assert.equal(code, 0, out)
  assert.match(out, /^ok +redis /m)
  assert.doesNotMatch(out, /postgres/)
  const nothing = await sluice(['doctor'])
  assert.equal(nothing.code, 0)
  assert.match(nothing.out, /^Nothing is configured.*\nTry: sluice doctor main\.ts$/m)
})

test('doctor says what is wrong and what to do when nothing listens, and ends with 1', async () => {
  const port = await closedPort()
  const { code, out } = await sluice(['doctor', '--json'], {
    env: {
      POSTGRES_DSN: `postgres://u:canary@127.0.0.1:${port}/d`,
      REDIS_ADDR: `redis://:canary@127.0.0.1:${port}`,
    },
  })
  assert.equal(code, 1)
  const report = JSON.parse(out) as Report
  assert.equal(report.ok, false)
  for (const each of report.components) {
    assert.equal(each.state, 'failed')
    assert.equal(each.code, 'SLUICE_UNAVAILABLE')
    assert.match(each.advice ?? '', /is the server running/i)
    assert.match(each.address ?? '', new RegExp(`127\\.0\\.0\\.1:${port}`))
  }
  assert.equal(report.components.length, 2)
  assert.doesNotMatch(out, /canary/)
})

test('doctor gives up on a server that accepts and never answers, within the limit of a connect', async () => {
  await using silent = await listening(createServer(() => {}))
  const { code, out } = await sluice(['doctor'], {
    env: {
      REDIS_ADDR: `127.0.0.1:${silent.port}`,
      REDIS_DIAL_TIMEOUT: '300ms',
      INFRASTRUCTURE_TIMEOUTS_REDIS: '1',
    },
  })
  assert.equal(code, 1)
  assert.match(out, /^failed +redis/m)
  assert.match(out, /SLUICE_TIMEOUT/)
})

test('doctor tells wrong credentials from an absent server', { skip: redis.skip }, async () => {
  const address = new URL(redis.url)
  const { code, out } = await sluice(['doctor'], {
    env: {
      REDIS_ADDR: `${address.hostname}:${address.port || '6379'}`,
      REDIS_USERNAME: 'nobody',
      REDIS_PASSWORD: 'canary',
    },
  })
  assert.equal(code, 1)
  assert.match(out, /SLUICE_AUTH/)
  assert.match(out, /REDIS_USERNAME and REDIS_PASSWORD/)
  assert.doesNotMatch(out, /canary/)
})

test('doctor connects to nothing when the configuration is wrong, and ends with 78', async () => {
  let connections = 0
  await using server = await listening(
    createServer((socket) => {
      connections += 1
      socket.destroy()
    }),
  )
  const { code, out, err } = await sluice(['doctor'], {
    env: { REDIS_ADDR: `127.0.0.1:${server.port}`, REDIS_DB: 'x' },
  })
  assert.equal(code, 78)
  assert.equal(out, '')
  assert.match(err, /^fault: env REDIS_DB \(redis\.db\): expected integer/)
  assert.equal(connections, 0)
})

test('doctor leaves out what is turned off', async () => {
  const { code, out } = await sluice(['doctor', 'hello.ts'], { env: { REDIS_ENABLED: 'no' } })
  assert.equal(code, 0)
  assert.match(out, /^disabled +cache/m)
})

async function listening(server: Server): Promise<AsyncDisposable & { readonly port: number }> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => sockets.add(socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  return {
    port: address.port,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

/** A port on which nothing listens: one that was just given back. */
async function closedPort(): Promise<number> {
  await using server = await listening(createServer())
  return server.port
}
