/** What a route writes with `request.log`, as Fastify's plugins do. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createApp } from '../../src/app/app.ts'
import { createLogger } from '../../src/telemetry/pino.ts'

interface Line {
  readonly level: number
  readonly msg: string
  readonly [field: string]: unknown
}

/** An app whose lines are read back, and how to ask it. */
function setup() {
  const lines: Line[] = []
  const stream = { write: (text: string) => void lines.push(JSON.parse(text) as Line) }
  const logger = createLogger({ level: 'debug', pretty: false, stream })
  const app = createApp({ name: 'demo', port: 0, host: '127.0.0.1', env: {}, logger })
  const said = async (message: string): Promise<Line | undefined> => {
    await logger.flush()
    return lines.find(({ msg }) => msg === message)
  }
  return { app, lines, said }
}

test('request.log of a service is the log of the service, and names the request', async () => {
  const { app, lines, said } = setup()
  app.service('todos', ({ http }) => {
    http.get('/', async (request) => {
      request.log.info({ id: 7 }, 'found')
      request.log.child({ step: 2 }).fatal('lost')
      return {}
    })
  })
  await app.start()
  const { headers } = await fetch(app.address.url, { headers: { 'x-request-id': 'mine' } })
  assert.equal(headers.get('x-request-id'), 'mine')
  const found = await said('found')
  assert.deepEqual([found?.['service'], found?.['requestId'], found?.['id']], ['todos', 'mine', 7])
  const lost = await said('lost')
  assert.deepEqual([lost?.['service'], lost?.['requestId'], lost?.['step']], ['todos', 'mine', 2])
  assert.ok((found?.level ?? 0) < (lost?.level ?? 0))
  await app.stop()
  // Fastify itself writes no line a request.
  assert.ok(lines.every(({ msg }) => !/incoming request|request completed/.test(msg)))
})

test('request.log takes an error alone, as the log does', async () => {
  const { app, said } = setup()
  app.service('todos', ({ http }) => {
    http.get('/', async (request) => {
      request.log.warn(new Error('broken'))
      throw new Error('broken')
    })
  })
  await app.start()
  assert.equal((await fetch(app.address.url)).status, 500)
  const line = await said('broken')
  assert.equal(line?.['service'], 'todos')
  await app.stop()
})
