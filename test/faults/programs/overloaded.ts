/** A service that is given more than it can do: routes that use up the processor and the memory. */
import { createApp } from '../../../src/index.ts'

const app = createApp({
  name: 'overloaded',
  port: 0,
  host: '127.0.0.1',
  configFile: false,
  env: process.env,
  http: { overload: { maxLoopDelay: process.env['MAX_LOOP_DELAY'] ?? '50ms', maxMemory: 0.6 } },
})
const BURN_MS = 10
const MB = 2 ** 20
const kept: unknown[] = []
app.service('work', ({ http }) => {
  http.get('/burn', () => {
    for (const until = performance.now() + BURN_MS; performance.now() < until;);
    return {}
  })
  http.get('/keep/:where', async (request) => {
    const { where } = request.params as { readonly where: string }
    // Forty megabytes a second, by the loop that also looks at the memory once a second.
    await new Promise((resolve) => setTimeout(resolve, 25))
    const bytes = Buffer.alloc(MB, 1)
    // Strings of this length are on the heap of V8; longer ones would be outside of it.
    if (where === 'heap')
      for (const half of [0, MB / 2]) kept.push(bytes.toString('latin1', half, half + MB / 2))
    else kept.push(bytes)
    return { kept: kept.length }
  })
})
// A request to give it back would be turned away.
process.on('SIGUSR2', () => {
  kept.length = 0
  ;(globalThis as { readonly gc?: () => void }).gc?.()
})
await app.run()
