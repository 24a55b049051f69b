/**
 * The programs of a run as they are when it begins: put together into a directory of its own, so that a process starts in
 * half of the time, and a tree that is edited meanwhile does not change what is under test.
 */
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const ROOT = join(import.meta.dirname, '../..')
/** Modules that are started as threads, found beside those that start them. */
const THREADS = {
  'heart-thread': 'src/engine/worker/heart-thread.ts',
  'watchdog-thread': 'src/app/watchdog-thread.ts',
} as const

export interface Stage extends AsyncDisposable {
  /** For the facts of the run, and whatever else it writes. */
  readonly directory: string
  program(name: string): string
}

export async function stagePrograms(programs: Readonly<Record<string, URL>>): Promise<Stage> {
  const directory = await mkdtemp(join(tmpdir(), 'sluice-chaos-'))
  const programDirectory = join(directory, 'programs')
  try {
    await mkdir(programDirectory)
    await writeFile(join(directory, 'package.json'), '{ "type": "module" }')
    await symlink(join(ROOT, 'node_modules'), join(directory, 'node_modules'))
    const threads = Object.entries(THREADS).map(([name, file]) => [name, join(ROOT, file)] as const)
    const entries = Object.entries(programs).map(([name, url]) => [name, fileURLToPath(url)] as const)
    await build({
      entryPoints: Object.fromEntries([...threads, ...entries]),
      outdir: programDirectory,
      bundle: true,
      splitting: true,
      format: 'esm',
      platform: 'node',
      target: 'node24',
      packages: 'external',
      conditions: ['sluice-source'],
      logLevel: 'warning',
    })
  } catch (error) {
    await rm(directory, { recursive: true, force: true })
    throw error
  }
  return {
    directory,
    program: (name) => join(programDirectory, `${name}.js`),
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  }
}
