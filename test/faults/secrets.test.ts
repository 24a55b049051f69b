/** Secrets that were planted everywhere a service takes some, looked for in all that it says. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { context, SpanStatusCode, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import pg from 'pg'
import { z } from 'zod'
import { silentLogger } from '../../src/telemetry/log.ts'
import { freePort } from '../components/redis/own-server.ts'
import { ROOT } from '../support/module-graph.ts'
import { ask, becomes } from './support/http.ts'
import { ownServers } from './support/servers.ts'
import { serviceUnderFaults } from './programs/service.ts'
import { PROGRAM, startProgram } from './support/program.ts'
import { skip } from './support/service.ts'

const READY_MS = 30_000

/** Each with what an address has to escape. */
const CANARIES = {
  postgres: 'canary-Pg/4@:9f %',
  redis: 'canary+Redis=77#k',
  user: 'canary?Mail&31"x',
  wrong: 'canary-Wrong:5',
}

const servers = ownServers({
  redisArgs: ['--requirepass', CANARIES.redis],
  async prepare({ dsn }) {
    const client = new pg.Client({ connectionString: dsn })
    await client.connect()
    await client.query(`create role app login superuser password ${client.escapeLiteral(CANARIES.postgres)}`)
    await client.end()
  },
})

/** The ways in which a text carries a secret on. */
function shapesOf(secret: string): readonly string[] {
  const base64 = [0, 1, 2].map((shift) => {
    const text = Buffer.from('x'.repeat(shift) + secret).toString('base64')
    // Without the ends, which the neighbouring bytes decide.
    return text.slice(shift === 0 ? 0 : 4, -4)
  })
  return [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1), ...base64]
}

function assertSilent(where: string, text: string): void {
  assert.ok(text.length > 0, `${where} said nothing`)
  for (const [name, secret] of Object.entries(CANARIES)) {
    for (const shape of shapesOf(secret)) {
      const at = text.indexOf(shape)
      assert.equal(
        at,
        -1,
        `the ${name} secret is in ${where}: …${text.slice(Math.max(0, at - 200), at + 60)}`,
      )
    }
  }
}

function environment(changes: Readonly<Record<string, string>> = {}): Record<string, string> {
  const password = encodeURIComponent(CANARIES.postgres)
  return {
    POSTGRES_DSN: `postgres://app:${password}@127.0.0.1:${servers.postgres.port}/postgres`,
    REDIS_ADDR: servers.redis.addr,
    REDIS_PASSWORD: CANARIES.redis,
    MAIL_PASSWORD: CANARIES.user,
    LOG_LEVEL: 'debug',
    ...changes,
  }
}

const PAGES = [
  '/health',
  '/health/infrastructure',
  '/health/db',
  '/health/cache',
  '/metrics',
  '/openapi.json',
  '/readyz',
]

test('a service that works says no secret, not in a line, page or error', { skip }, async () => {
  await using program = await startProgram({ env: environment() })
  const { url } = program
  await becomes(`${url}/db`, 200, READY_MS)
  await becomes(`${url}/cache`, 200, READY_MS)
  for (const path of ['/leak-in-error', '/bad-query', '/nowhere']) {
    const { body, headers } = await ask(url + path)
    assertSilent(path, body + JSON.stringify(headers))
  }
  await program.says('a careless line')
  await servers.postgres.freeze()
  assertSilent('/db', (await ask(`${url}/db`)).body)
  await servers.postgres.thaw()
  for (const page of PAGES) assertSilent(page, (await ask(url + page)).body)
  program.kill('SIGTERM')
  await program.exit
  assertSilent('the log', program.output)
})

test('spans hold no secret, nor do those of failures', { skip }, async () => {
  const exporter = new InMemorySpanExporter()
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  trace.setGlobalTracerProvider(
    new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }),
  )
  try {
    const app = serviceUnderFaults({
      env: environment(),
      logger: silentLogger,
      settings: { mail: z.object({ password: z.string() }) },
    })
    app.service('careless', ({ http, db, background, config }) => {
      const { password } = config['mail'] as { readonly password: string }
      http.get('/careless', async () => {
        background.run('mail', () => Promise.reject(new Error(`refused ${password}`)))
        await db.transaction(() => Promise.reject(new Error('no mail', { cause: new Error(password) })))
      })
      http.get('/query', () => db.query('select nothing from nowhere where secret = $1', [password]))
    })
    await app.start()
    try {
      const { url } = app.address
      await becomes(`${url}/db`, 200, READY_MS)
      await becomes(`${url}/cache`, 200, READY_MS)
      for (const path of ['/careless', '/query']) assert.equal((await ask(url + path)).status, 500, path)
      await servers.postgres.freeze()
      try {
        assertSilent('/db', (await ask(`${url}/db`)).body)
      } finally {
        await servers.postgres.thaw()
      }
    } finally {
      await app.stop()
    }
    const spans = exporter.getFinishedSpans()
    const told = spans.map(({ name, attributes, events, status, resource }) => {
      return { name, attributes, events, status, resource: resource.attributes }
    })
    const names = new Set(spans.map(({ name }) => name))
    for (const name of ['db query', 'db transaction', 'cache get'])
      assert.ok(names.has(name), [...names].join())
    assert.ok(
      spans.some(({ status }) => status.code === SpanStatusCode.ERROR),
      'a failure was traced',
    )
    assertSilent('the spans', JSON.stringify(told))
  } finally {
    trace.disable()
    context.disable()
  }
})

test('a service that is refused, or finds nobody, says no secret', { skip }, async () => {
  const nobody = await freePort()
  const wrong = encodeURIComponent(CANARIES.wrong)
  const environments = [
    environment({
      POSTGRES_DSN: `postgres://app:${wrong}@127.0.0.1:${nobody}/postgres`,
      REDIS_ADDR: `redis://:${wrong}@127.0.0.1:${nobody}`,
    }),
    environment({
      POSTGRES_DSN: `host=127.0.0.1 port=${servers.postgres.port} user=nobody password='${CANARIES.wrong}' dbname=nothing`,
      REDIS_PASSWORD: CANARIES.wrong,
    }),
  ]
  for (const env of environments) {
    await using program = await startProgram({ env })
    await program.says(/db is failed/)
    await program.says(/cache is failed/)
    for (const page of ['/db', '/cache', ...PAGES]) assertSilent(page, (await ask(program.url + page)).body)
    program.kill('SIGTERM')
    await program.exit
    assertSilent('the log', program.output)
  }
})

test('the configuration is shown without its secrets, right or wrong', { skip }, async () => {
  const cli = join(ROOT, 'src/cli/main.ts')
  const run = async (env: Record<string, string>, ...args: string[]): Promise<string> => {
    const command = ['--conditions=sluice-source', cli, 'config', PROGRAM, ...args]
    const options = { env: { PATH: process.env['PATH'], ...env }, cwd: ROOT }
    const failed = (error: unknown): { stdout: string; stderr: string } =>
      error as { stdout: string; stderr: string }
    const { stdout, stderr } = await promisify(execFile)(process.execPath, command, options).catch(failed)
    return stdout + stderr
  }
  const right = await run(environment())
  assert.match(right, /MAIL_PASSWORD/)
  assertSilent('sluice config', right)
  assertSilent('sluice config --json', await run(environment(), '--json'))
  const broken = environment({
    POSTGRES_DSN: `postgres//app:${CANARIES.postgres}@127.0.0.1/x`,
    REDIS_ADDR: `redis://:${CANARIES.redis}@`,
    REDIS_DIAL_TIMEOUT: CANARIES.wrong,
  })
  const faults = await run(broken)
  assert.match(faults, /fault/)
  assertSilent('the faults', faults.replace(CANARIES.wrong, ''))
})
