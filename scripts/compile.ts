/** Compiles src/ with tsc and puts together what programs import: what `npm run build`, benchmarks and tests share. */
import { spawnSync } from 'node:child_process'
import { chmodSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { bundle } from './bundle.ts'

const ROOT = join(import.meta.dirname, '..')
const TO_RUN = ['--noCheck', '--declaration', 'false']

export interface CompileOptions {
  /** Neither checks types nor writes declarations, for what is only run: a third of the time. @default false */
  readonly toRun?: boolean
}

/** Writes into `dist`, which it does not empty. Throws with what tsc said. */
export async function compile(dist: string, { toRun = false }: CompileOptions = {}): Promise<void> {
  const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc')
  const { status, stdout, error } = spawnSync(
    process.execPath,
    [tsc, '-p', 'tsconfig.build.json', '--outDir', dist, ...(toRun ? TO_RUN : [])],
    { cwd: ROOT, encoding: 'utf8' },
  )
  if (error !== undefined) throw error
  if (status !== 0) throw new Error(`src does not compile:\n${stdout}`)
  chmodSync(join(dist, 'cli', 'main.js'), 0o755)
  await bundle(dist)
}
