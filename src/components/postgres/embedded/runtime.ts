/**
 * Finds out how PostgreSQL can be run here (which programs, as whom, which version), tries it once with
 * `postgres --version`, and remembers the answer in runtime.json, so that a later start asks nobody.
 */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { lstat, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { SluiceError } from '../../../core/errors.ts'
import { WAYS_OUT, type Binaries } from './binaries.ts'
import type { Home } from './home.ts'
import {
  childEnvironment,
  commandAs,
  hasName,
  ROOT_WAYS,
  unprivilegedUser,
  type RootWay,
  type RunAs,
} from './privilege.ts'
import { copyOut, withLibraries } from './unpack.ts'

const run = promisify(execFile)
const PROBE_LIMIT_MS = 10_000
const OLDEST_MAJOR = 15

export interface Runtime {
  readonly binaries: Binaries
  readonly runAs: RunAs
  /** How root was dropped; undefined where the process is not root. */
  readonly rootDropped: RootWay | undefined
  /** Such as '18.4'. */
  readonly version: string
}

export function majorOf(version: string): number {
  return Number.parseInt(version, 10)
}

/** `ways`: the ways of dropping root to try. */
export async function findRuntime(
  home: Home,
  found: Binaries,
  appDir: string,
  ways: readonly RootWay[] = ROOT_WAYS,
): Promise<Runtime> {
  const key = await keyOf(found, ways)
  const remembered = await recall(home, key)
  if (remembered !== undefined) return remembered
  const runtime = await findOut(home, await withLibraries(found), appDir, ways)
  await remember(home, key, runtime)
  return runtime
}

async function findOut(
  home: Home,
  binaries: Binaries,
  appDir: string,
  ways: readonly RootWay[],
): Promise<Runtime> {
  const isRoot = process.getuid?.() === 0
  const owner = await stat(home.data).catch(() => undefined)
  const user = await unprivilegedUser([home.data, home.directory, appDir])
  const refusals: string[] = []
  const attempt = async (
    programs: Binaries,
    runAs: RunAs,
    way: RootWay | undefined,
  ): Promise<Runtime | undefined> => {
    try {
      const version = await versionOf(programs.postgres, runAs)
      return { binaries: programs, runAs, rootDropped: way, version }
    } catch (error) {
      refusals.push(`${way ?? runAs.way}: ${reasonOf(error)}`)
      return undefined
    }
  }
  if (!isRoot) {
    const direct = hasName() ? await attempt(binaries, { way: 'direct' }, undefined) : undefined
    const answer = direct ?? (await attempt(binaries, { way: 'namespace', ...user }, undefined))
    if (answer !== undefined) return answer
  }
  for (const way of isRoot ? ways : []) {
    // Data that root owns, from an earlier run in a namespace, can be served only in one.
    if (owner?.uid === 0 && way !== 'namespace') continue
    const programs =
      way === 'copy' && binaries.packaged !== undefined ? await copyOut(binaries.packaged) : binaries
    const runAs: RunAs = { way: way === 'namespace' ? 'namespace' : 'setuid', ...user }
    const answer = await attempt(programs, runAs, way)
    if (answer !== undefined) return answer
  }
  throw new SluiceError('SLUICE_STORE_FAILED', `PostgreSQL cannot be run: ${refusals.join('; ')}`, {
    hint: WAYS_OUT,
  })
}

async function versionOf(postgres: string, runAs: RunAs): Promise<string> {
  const { file, args, options } = commandAs(runAs, postgres, ['--version'])
  const { stdout } = await run(file, args, {
    ...options,
    cwd: '/',
    env: childEnvironment(),
    timeout: PROBE_LIMIT_MS,
  })
  const version = /\(PostgreSQL\) (\d+(?:\.\d+)?)/.exec(stdout)?.[1]
  if (version === undefined) throw new Error(`${postgres} --version said: ${stdout.slice(0, 80)}`)
  if (majorOf(version) < OLDEST_MAJOR) throw new Error(`version ${version} is older than ${OLDEST_MAJOR}`)
  return version
}

/** The loader's own words where there are some; a program that is there but "not found" lacks its loader: musl. */
function reasonOf(error: unknown): string {
  const { code, stderr, message } = error as { code?: unknown; stderr?: string; message?: string }
  if (code === 'ENOENT')
    return 'not found, or its loader is: the npm packages need glibc, there is none for musl'
  return (stderr ?? '').trim().split('\n')[0] || (message ?? String(error))
}

async function keyOf({ postgres }: Binaries, ways: readonly RootWay[]): Promise<string> {
  const { size, mtimeMs } = await stat(postgres)
  return [postgres, size, mtimeMs, process.getuid?.(), ways.join()].join('|')
}

async function recall(home: Home, key: string): Promise<Runtime | undefined> {
  try {
    // It names programs to run: from any other hand than ours it is not believed.
    if ((await lstat(home.runtime)).uid !== process.getuid?.()) return undefined
    const saved = JSON.parse(await readFile(home.runtime, 'utf8')) as { key: string; runtime: Runtime }
    if (saved.key !== key) return undefined
    await stat(saved.runtime.binaries.postgres)
    return saved.runtime
  } catch {
    return undefined
  }
}

async function remember(home: Home, key: string, runtime: Runtime): Promise<void> {
  const partial = `${home.runtime}.${randomBytes(6).toString('hex')}`
  await writeFile(partial, JSON.stringify({ key, runtime }, undefined, 2), { flag: 'wx', mode: 0o600 })
  await rename(partial, home.runtime)
}
