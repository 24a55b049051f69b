/** `sluice replicate`: the replicator as a program of its own, beside the services that read what it keeps. */
import { resolve } from 'node:path'
import { SluiceError } from '../core/errors.ts'
import { CONFIG_OPTION, type Command, type Invocation, type Terminal } from './command.ts'
import { EXIT } from './exit-codes.ts'

export const replicateCommand: Command = {
  name: 'replicate',
  parameters: '',
  summary: 'keep a Redis cache in step with a stream',
  detail:
    'Follows the WebSocket at REPLICATOR_SOURCE_URL and stores its entities at REDIS_ADDR, in order, in batches, with\n' +
    'nothing dropped; REPLICATOR_BULK_URL has the pages for a first load. Serves /health, /readyz and /metrics at\n' +
    'APP_PORT. Of several processes one writes and the others stand by. SIGTERM, SIGINT and SIGHUP store what\n' +
    'waits first.',
  options: [CONFIG_OPTION],
  fileRequired: false,
  passesRest: false,
  exits: {
    [EXIT.ok]: 'stopped cleanly',
    [EXIT.failure]: 'it failed',
    [EXIT.usage]: 'command not understood',
    [EXIT.deadline]: 'the shutdown took longer than its budget',
    [EXIT.system]: 'the port, or another resource of the system, cannot be had',
    [EXIT.config]: 'the configuration is wrong',
    130: 'a second SIGINT cut the shutdown short (143: SIGTERM, 129: SIGHUP)',
  },
  run,
}

async function run(invocation: Invocation, terminal: Terminal): Promise<number | undefined> {
  // Here and not above: every other command would load them as well.
  const [{ createApp }, { redis }, { loadConfig }, { replicator }] = await Promise.all([
    import('../app/app.ts'),
    import('../components/redis/index.ts'),
    import('../config/load.ts'),
    import('../replicator/index.ts'),
  ])
  const components = { redis: redis(), replicator: replicator() }
  const configFile = invocation.config === undefined ? undefined : resolve(terminal.cwd, invocation.config)
  // Before anything starts: an app would pass over a replicator that nobody configured.
  const { components: settings } = await loadConfig({
    components,
    env: terminal.env,
    ...(configFile === undefined ? {} : { file: configFile }),
  })
  if (settings['replicator']?.values['sourceUrl'] === undefined) {
    throw new SluiceError(
      'SLUICE_CONFIG',
      'replicator.source_url is not set, so there is nothing to replicate',
      {
        hint: 'Set REPLICATOR_SOURCE_URL, or replicator.source_url in the configuration file.',
      },
    )
  }
  const app = createApp({
    name: 'replicator',
    components,
    env: terminal.env,
    ...(configFile === undefined ? {} : { configFile }),
    // Readers rely on the store at all times, so readiness follows it at all times.
    health: { gates: { replicator: 'always' } },
  })
  // Handles signals, and ends the process with its exit code.
  await app.run()
  return undefined
}
