/**
 * Makes the programs of the npm package usable where npm did not.
 *
 * The package cannot hold symbolic links; its install script makes those of the shared libraries from
 * pg-symlinks.json. Where install scripts are off, we do it; where node_modules is read-only, or out of reach for the
 * user that the server runs as, in a copy.
 */
import { createHash, randomBytes } from 'node:crypto'
import { access, constants, cp, lstat, mkdir, readFile, rename, rm, symlink } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { SluiceError } from '../../../core/errors.ts'
import { programsIn, type Binaries } from './binaries.ts'

/** The same programs with all links of their libraries, in a copy if they cannot be made in place. */
export async function withLibraries(binaries: Binaries): Promise<Binaries> {
  const { packaged } = binaries
  if (packaged === undefined) return binaries
  const missing = await missingLinks(packaged)
  if (missing.length === 0) return binaries
  try {
    await access(join(packaged, 'lib'), constants.W_OK)
    await makeLinks(missing)
    return binaries
  } catch {
    return copyOut(packaged)
  }
}

/** Copies the package (68 MB) to a cache directory that every user can reach, once per version. */
export async function copyOut(packaged: string): Promise<Binaries> {
  const stamp = await lstat(join(packaged, 'bin', 'postgres'))
  const version = createHash('sha256').update(`${packaged}:${stamp.size}:${stamp.mtimeMs}`).digest('hex')
  const refusals: unknown[] = []
  for (const parent of cacheDirectories()) {
    try {
      await mkdir(parent, { recursive: true, mode: 0o755 })
      await refuseForeign(parent)
      const target = join(parent, `postgres-${version.slice(0, 12)}`)
      await copyInto(packaged, target)
      return programsIn(join(target, 'bin'), target)
    } catch (error) {
      refusals.push(error)
    }
  }
  throw new SluiceError(
    'SLUICE_STORE_FAILED',
    'the PostgreSQL programs cannot be copied to a cache directory',
    {
      cause: new AggregateError(refusals),
      hint: `Make one of these writable: ${cacheDirectories().join(', ')}.`,
    },
  )
}

/** Whole or not at all: the copy gets its name when it is complete. */
async function copyInto(packaged: string, target: string): Promise<void> {
  if ((await lstat(target).catch(() => undefined)) !== undefined) return
  const partial = `${target}.${randomBytes(6).toString('hex')}`
  try {
    await cp(packaged, partial, { recursive: true, verbatimSymlinks: true })
    await makeLinks(await missingLinks(partial))
    await rename(partial, target)
  } catch (error) {
    await rm(partial, { recursive: true, force: true })
    // Another process was faster.
    if ((await lstat(target).catch(() => undefined)) === undefined) throw error
  }
}

interface Link {
  readonly path: string
  readonly target: string
}

async function missingLinks(packaged: string): Promise<readonly Link[]> {
  const text = await readFile(join(packaged, 'pg-symlinks.json'), 'utf8').catch(() => '[]')
  // Paths start with "native/", the package's own name for this directory.
  const entries = JSON.parse(text) as readonly { readonly source: string; readonly target: string }[]
  const links = entries.map(({ source, target }) => {
    const path = inside(packaged, target)
    return { path, target: relative(dirname(path), inside(packaged, source)) }
  })
  const there = await Promise.all(links.map(({ path }) => lstat(path).catch(() => undefined)))
  return links.filter((_, index) => there[index] === undefined)
}

function inside(packaged: string, path: string): string {
  const full = resolve(packaged, relative('native', path))
  if (!full.startsWith(packaged + sep)) throw new Error(`pg-symlinks.json leads out of the package: ${path}`)
  return full
}

async function makeLinks(links: readonly Link[]): Promise<void> {
  await Promise.all(
    links.map(({ path, target }) =>
      symlink(target, path).catch((error: NodeJS.ErrnoException) => {
        // Another process was faster.
        if (error.code !== 'EEXIST') throw error
      }),
    ),
  )
}

function cacheDirectories(): readonly string[] {
  const uid = process.getuid?.() ?? 0
  const temporary = join(tmpdir(), `sluice-${uid}`)
  if (uid === 0) return ['/var/cache/sluice', temporary]
  return [join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'sluice'), temporary]
}

/** Whoever owns the directory decides what we run. */
async function refuseForeign(path: string): Promise<void> {
  const stats = await lstat(path)
  if (!stats.isDirectory() || stats.uid !== process.getuid?.() || (stats.mode & 0o022) !== 0) {
    throw new Error(`${path} is not a directory of our own that only we can write`)
  }
}
