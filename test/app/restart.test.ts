import assert from 'node:assert/strict'
import { Agent, request } from 'node:http'
import { test } from 'node:test'
import { createApp } from '../../src/app/app.ts'
import { silentLogger } from '../../src/telemetry/log.ts'

const CLIENTS = 40

/** One GET over the client's own keep-alive connection. */
function get(agent: Agent, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const call = request({ host: '127.0.0.1', port, path: '/', agent }, (response) => {
      response.resume()
      response.on('end', () => resolve(response.statusCode ?? 0))
      response.on('error', reject)
    })
    call.on('error', reject)
    call.end()
  })
}

const code = (error: unknown): unknown => (error as NodeJS.ErrnoException).code

test('forty keep-alive clients lose no request while the app is restarted under them', async () => {
  const start = async (port: number) => {
    // A busy machine makes the loop late; turning requests away for that is another test's matter.
    const http = { overload: false } as const
    const app = createApp({ name: 'demo', port, host: '127.0.0.1', env: {}, logger: silentLogger, http })
    app.service('hello', ({ http }) => {
      http.get('/', async () => {
        await new Promise((resolve) => setTimeout(resolve, 2))
        return { hello: 'world' }
      })
    })
    await app.start()
    return app
  }
  let app = await start(0)
  const { port } = app.address
  let over = false
  const served = Array.from({ length: CLIENTS }, () => 0)
  const broken: unknown[] = []
  const client = async (index: number): Promise<void> => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    while (!over) {
      try {
        assert.equal(await get(agent, port), 200)
        served[index]!++
      } catch (error) {
        // Nobody listens between two lives of the app; a request that was never taken is not a broken one.
        if (code(error) !== 'ECONNREFUSED') broken.push(code(error) ?? error)
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
    agent.destroy()
  }
  const clients = Array.from({ length: CLIENTS }, (_, index) => client(index))
  /** Every client has had `count` answers more. */
  const progress = async (count: number): Promise<void> => {
    const goals = served.map((sofar) => sofar + count)
    while (served.some((sofar, index) => sofar < goals[index]!))
      await new Promise((resolve) => setImmediate(resolve))
  }
  await progress(5)
  for (let round = 0; round < 10; round++) {
    assert.equal(await app.stop(), 0)
    app = await start(port)
    await progress(5)
  }
  over = true
  await Promise.all(clients)
  await app.stop()
  assert.deepEqual(broken, [])
})
