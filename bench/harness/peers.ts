/**
 * Peers: packages measured beside sluice. They live in bench/node_modules, which is installed when a benchmark first
 * runs, and are imported by name at run time, so that the project compiles without them.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const BENCH = join(import.meta.dirname, '..')

/** Imports a peer; `T` is the part of it that the benchmark uses. */
export async function peer<T>(name: string): Promise<T> {
  return (await import(name)) as T
}

/** Installs what is missing; throws when that fails. */
export function installPeers(peers: readonly string[]): void {
  const missing = peers.filter((name) => !existsSync(join(BENCH, 'node_modules', name, 'package.json')))
  if (missing.length === 0) return
  process.stderr.write(`installing the peers of the benchmarks: ${missing.join(', ')} …\n`)
  const { status, error } = spawnSync('npm', ['install', '--prefix', BENCH, '--no-audit', '--no-fund'], {
    stdio: ['ignore', 'ignore', 'inherit'],
    shell: process.platform === 'win32',
  })
  if (error !== undefined) throw error
  if (status !== 0) throw new Error(`npm install --prefix bench failed with exit code ${status}`)
}

/** Versions of node, sluice and the peers. */
export function versionsOf(peers: readonly string[]): Record<string, string> {
  const versions: Record<string, string> = {
    node: process.versions.node,
    sluice: versionIn(join(BENCH, '..')),
  }
  for (const name of peers) versions[name] = versionIn(join(BENCH, 'node_modules', name))
  return versions
}

/** Of a package that the project itself depends on. */
export function versionOfOurs(name: string): string {
  return versionIn(join(BENCH, '..', 'node_modules', name))
}

function versionIn(directory: string): string {
  const { version } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as { version: string }
  return version
}
