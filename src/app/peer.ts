/** Optional packages, imported on first use: a service pays only for what it uses, in installs and in start-up time. */
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { SluiceError } from '../core/errors.ts'

/**
 * Loads an optional peer. `load` holds the literal `import()`, so that bundlers and type checkers see the name.
 * Rejects with SLUICE_MISSING_PEER naming the install command when the package itself is not there; an error inside
 * the package, or a package that it misses, comes as it is.
 */
export async function loadPeer<T>(name: string, component: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load()
  } catch (error) {
    throw missingOr(error, name, component)
  }
}

/**
 * The same at once, for calls that cannot wait. It is the very copy that `import` gives the user: both go by the
 * `import` condition, so `instanceof` and private symbols fit.
 */
export function loadPeerNow<T>(name: string, component: string): T {
  try {
    return createRequire(import.meta.url)(fileURLToPath(import.meta.resolve(name))) as T
  } catch (error) {
    throw missingOr(error, name, component)
  }
}

function missingOr(error: unknown, name: string, component: string): unknown {
  // `drizzle-orm/node-postgres` is a part of the package `drizzle-orm`.
  const parts = name.split('/')
  const bare = parts.slice(0, name.startsWith('@') ? 2 : 1).join('/')
  const isMissing =
    error instanceof Error &&
    'code' in error &&
    error.code === 'ERR_MODULE_NOT_FOUND' &&
    error.message.includes(`'${bare}'`)
  if (!isMissing) return error
  return new SluiceError('SLUICE_MISSING_PEER', `${component}: the package '${bare}' is not installed`, {
    cause: error,
    component,
    hint: `npm install ${bare}`,
  })
}
