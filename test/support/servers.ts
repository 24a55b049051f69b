/**
 * Servers that tests may use when they are there: Redis on 127.0.0.1:6379, PostgreSQL on 127.0.0.1:5432 (user `postgres`,
 * no password) and RabbitMQ on 127.0.0.1:5672 (user and password `guest`), or those named by SLUICE_TEST_REDIS_URL,
 * SLUICE_TEST_POSTGRES_URL and SLUICE_TEST_RABBITMQ_URL.
 *
 *     const server = await serverAt('redis')
 *     test('counts', { skip: server.skip }, …)
 *
 * Without the server a test is skipped with the reason, so that `npm test` passes on a bare machine; with
 * SLUICE_REQUIRE_SERVERS=1, as in CI, a missing server fails the file instead. A server that answers and refuses us (a
 * developer's own, with a password) counts as missing. With SLUICE_TEST_DATABASE=embedded there is no PostgreSQL.
 */
import { spawnSync } from 'node:child_process'
import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

export type ServerKind = 'redis' | 'postgres' | 'rabbitmq'

export interface TestServer {
  readonly url: string
  /** False, or why tests that need it cannot run: hand it to `test` as its `skip` option. */
  readonly skip: false | string
}

const PROBE_LIMIT_MS = 3_000

const KINDS = {
  redis: { env: 'SLUICE_TEST_REDIS_URL', url: 'redis://127.0.0.1:6379', port: 6379 },
  postgres: {
    env: 'SLUICE_TEST_POSTGRES_URL',
    url: 'postgres://postgres@127.0.0.1:5432/postgres',
    port: 5432,
  },
  rabbitmq: { env: 'SLUICE_TEST_RABBITMQ_URL', url: 'amqp://guest:guest@127.0.0.1:5672', port: 5672 },
} as const

/** Why tests that run a program must be skipped, or false; throws when it is missing and SLUICE_REQUIRE_SERVERS=1. */
export function programMissing(name: string): false | string {
  if (spawnSync(name, ['--version'], { stdio: 'ignore' }).error === undefined) return false
  if (process.env['SLUICE_REQUIRE_SERVERS'] === '1')
    throw new Error(`SLUICE_REQUIRE_SERVERS=1 and no ${name}`)
  return `${name} is not installed`
}

/** Probes the server; throws when it is missing and SLUICE_REQUIRE_SERVERS=1. */
export async function serverAt(kind: ServerKind): Promise<TestServer> {
  const { env, url: defaultUrl, port: defaultPort } = KINDS[kind]
  const url = process.env[env] ?? defaultUrl
  if (kind === 'postgres' && process.env['SLUICE_TEST_DATABASE'] === 'embedded')
    return { url, skip: 'it needs a server, and SLUICE_TEST_DATABASE is embedded' }
  const { hostname, port: namedPort } = new URL(url)
  const port = namedPort === '' ? defaultPort : Number(namedPort)
  const hello = helloOf(kind, new URL(url))
  let skip: false | string
  try {
    const answer = await firstAnswer(hostname, port, hello)
    // An address that the developer named is believed to hold the right password, which this probe does not send.
    const refusal = process.env[env] === undefined ? refusalIn(kind, answer) : undefined
    skip = refusal === undefined ? false : `${kind} at ${hostname}:${port} ${refusal}; set ${env}`
  } catch (error) {
    const reason = error instanceof Error && error.message !== '' ? error.message : String(error)
    skip = `no ${kind} at ${hostname}:${port} (${reason}); start one or set ${env}`
  }
  if (skip !== false && process.env['SLUICE_REQUIRE_SERVERS'] === '1') {
    throw new Error(`SLUICE_REQUIRE_SERVERS=1 and ${skip}`)
  }
  return { url, skip }
}

/** What the server says first. Rejects when it cannot be reached or says nothing within the limit. */
async function firstAnswer(host: string, port: number, hello: Buffer): Promise<Buffer> {
  const socket = connect({ host, port })
  const done = new AbortController()
  try {
    return await Promise.race([
      new Promise<Buffer>((resolve, reject) => {
        socket
          .once('data', resolve)
          .once('error', reject)
          .once('connect', () => socket.write(hello))
        socket.once('close', () => reject(new Error('it closed the connection')))
      }),
      delay(PROBE_LIMIT_MS, undefined, { signal: done.signal }).then(() => {
        throw new Error(`no answer within ${PROBE_LIMIT_MS} ms`)
      }),
    ])
  } finally {
    done.abort()
    socket.destroy()
  }
}

function helloOf(kind: ServerKind, url: URL): Buffer {
  if (kind === 'redis') return Buffer.from('PING\r\n')
  return kind === 'rabbitmq' ? Buffer.from('AMQP\0\0\x09\x01') : postgresStartup(url)
}

function refusalIn(kind: ServerKind, answer: Buffer): string | undefined {
  // Whether it lets guests in shows only later; its first frame is `connection.start`, one of another protocol is not.
  if (kind === 'rabbitmq') return answer[0] === 1 ? undefined : 'does not speak AMQP 0.9.1'
  if (kind === 'redis') return answer.toString().startsWith('+PONG') ? undefined : 'asks for a password'
  const isAccepted = answer[0] === 0x52 /* R: authentication */ && answer.readUInt32BE(5) === 0 /* ok */
  return isAccepted ? undefined : 'does not trust this user without a password'
}

/** The first message of PostgreSQL's protocol 3.0: length, version, user, database. */
function postgresStartup(url: URL): Buffer {
  const user = url.username === '' ? 'postgres' : decodeURIComponent(url.username)
  const database = url.pathname.length > 1 ? url.pathname.slice(1) : user
  const body = Buffer.from(`user\0${user}\0database\0${database}\0\0`)
  const head = Buffer.alloc(8)
  head.writeUInt32BE(8 + body.length, 0)
  head.writeUInt32BE(196_608, 4)
  return Buffer.concat([head, body])
}
