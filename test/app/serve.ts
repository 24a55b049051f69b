/** An app for tests of its HTTP side. */
import { createApp } from '../../src/app/app.ts'
import type { AppOptions } from '../../src/app/options.ts'
import type { Components, Http } from '../../src/app/service.ts'
import { silentLogger } from '../../src/telemetry/log.ts'

/** An app with these routes, and no component. */
export async function serve(routes: (http: Http) => void, options: Partial<AppOptions<Components>> = {}) {
  const app = createApp({
    name: 'demo',
    port: 0,
    host: '127.0.0.1',
    env: {},
    logger: silentLogger,
    ...options,
  })
  app.service('routes', ({ http }) => routes(http as Http))
  await app.start()
  return app
}
