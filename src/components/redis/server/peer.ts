/**
 * The driver, loaded on first use and a few milliseconds at a time.
 *
 * `import('redis')` runs some 900 small modules in one turn of the event loop, in which nothing else is answered: 86 to
 * 200 ms here. Loaded one by one with turns between, the longest turn was 26 to 39 ms. The commands come first, as
 * everything else needs them. They are found by their places in the driver's packages; where those are not as expected,
 * the plain import does it all.
 */
import { readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import type * as Redis from 'redis'
import { loadPeer } from '../../../app/peer.ts'

/** What is used of the package `redis`. */
export type RedisModule = Pick<
  typeof Redis,
  'RedisClient' | 'ErrorReply' | 'MultiErrorReply' | 'ClientClosedError' | 'ClientOfflineError'
>

const PACKAGES = ['client', 'bloom', 'json', 'search', 'time-series'] as const
/** What takes longest beside the commands; the first is Node's own and takes 15 ms. */
const PARTS = [
  'node:tls',
  'RESP/decoder.js',
  'opentelemetry/client-registry.js',
  'opentelemetry/index.js',
  'client/commands-queue.js',
  'client/socket.js',
  'commands/index.js',
  'client/index.js',
  'cluster/index.js',
  'sentinel/index.js',
]
const TURN_MS = 4

export async function loadRedis(): Promise<RedisModule> {
  return (await loadInTurns()) ?? loadPeer('redis', 'redis', () => import('redis'))
}

async function loadInTurns(): Promise<RedisModule | undefined> {
  try {
    const require = createRequire(import.meta.url)
    const requireOfRedis = createRequire(require.resolve('redis'))
    let turnBegan = performance.now()
    for (const file of filesOf(requireOfRedis)) {
      requireOfRedis(file)
      if (performance.now() - turnBegan < TURN_MS) continue
      await new Promise((resolve) => setImmediate(resolve))
      turnBegan = performance.now()
    }
    return require('redis') as RedisModule
  } catch {
    // Another layout, or not installed: the import will say which.
    return undefined
  }
}

function* filesOf(require: NodeJS.Require): Generator<string> {
  for (const name of PACKAGES) {
    const main = require.resolve(`@redis/${name}`)
    const lib = basename(dirname(main)) === 'lib' ? dirname(main) : join(dirname(main), 'lib')
    const commands = join(lib, 'commands')
    for (const file of readdirSync(commands, { recursive: true, encoding: 'utf8' })) {
      if (file.endsWith('.js') && basename(file) !== 'index.js') yield join(commands, file)
    }
    if (name === 'client') for (const part of PARTS) yield part.startsWith('node:') ? part : join(lib, part)
    yield main
  }
}
