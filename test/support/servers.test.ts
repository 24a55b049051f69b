import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { test } from 'node:test'
import { serverAt } from './servers.ts'

async function withEnv<T>(values: Record<string, string | undefined>, fn: () => Promise<T>): Promise<T> {
  const before = Object.keys(values).map((name) => [name, process.env[name]] as const)
  const set = (name: string, value: string | undefined): void => {
    if (value === undefined) delete process.env[name]
    else process.env[name] = value
  }
  for (const [name, value] of Object.entries(values)) set(name, value)
  try {
    return await fn()
  } finally {
    for (const [name, value] of before) set(name, value)
  }
}

/** A port on which nothing listens: one that was just given back. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  server.close()
  await once(server, 'close')
  return address.port
}

test('a server that is not there is a reason to skip, naming the address and the way out', async () => {
  const port = await freePort()
  const server = await withEnv(
    { SLUICE_TEST_REDIS_URL: `redis://127.0.0.1:${port}`, SLUICE_REQUIRE_SERVERS: undefined },
    () => serverAt('redis'),
  )
  assert.match(String(server.skip), new RegExp(`no redis at 127\\.0\\.0\\.1:${port} .*SLUICE_TEST_REDIS_URL`))
})

test('a server that is not there fails where servers are required', async () => {
  const port = await freePort()
  await assert.rejects(
    withEnv(
      {
        SLUICE_TEST_POSTGRES_URL: `postgres://127.0.0.1:${port}/x`,
        SLUICE_TEST_DATABASE: undefined,
        SLUICE_REQUIRE_SERVERS: '1',
      },
      () => serverAt('postgres'),
    ),
    /SLUICE_REQUIRE_SERVERS=1 and no postgres at/,
  )
})

test('where the embedded database is chosen, what needs a PostgreSQL server says so', async () => {
  const { skip } = await withEnv({ SLUICE_TEST_DATABASE: 'embedded', SLUICE_REQUIRE_SERVERS: '1' }, () =>
    serverAt('postgres'),
  )
  assert.match(String(skip), /SLUICE_TEST_DATABASE is embedded/)
})
