/** The service under faults as a process: addresses, port and budget come from its environment. */
import { z } from 'zod'
import { serviceUnderFaults } from './service.ts'

const app = serviceUnderFaults({
  env: process.env,
  port: Number(process.env['TEST_PORT'] ?? 0),
  steps: Number(process.env['STEPS'] ?? 0),
  settings: { mail: z.object({ password: z.string().default('none') }) },
  shutdown: {
    budget: process.env['BUDGET'] ?? '10s',
    drainDelay: process.env['DRAIN'] ?? 0,
    closeTimeout: process.env['CLOSE'] ?? '1s',
  },
})
app.service('trouble', ({ http, db, log, config }) => {
  http.get('/throw-later', () => {
    setTimeout(() => {
      throw new Error('thrown by a timer', { cause: new Error('the cause') })
    }, 1)
    return {}
  })
  http.get('/reject-later', () => {
    void Promise.reject(new Error('rejected and nobody looked', { cause: new Error('the cause') }))
    return {}
  })
  http.get('/block', () => {
    for (;;);
  })
  http.get('/leak-in-error', () => {
    const { password } = config['mail'] as { readonly password: string }
    log.warn({ password, nested: { url: `smtp://me:${password}@mail` } }, 'a careless line')
    throw new Error(`mail refused the password ${password}`)
  })
  http.get('/bad-query', async () => ({ rows: await db.query('select nothing from nowhere') }))
})
await app.run()
