/** Programs that are measured as processes of their own, from compiled JavaScript, as they would run in production. */
import { spawn, type ChildProcess } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { compile } from '../../scripts/compile.ts'

const ROOT = join(import.meta.dirname, '../..')
const PROGRAMS = join(import.meta.dirname, '../programs')

export interface Stage extends Disposable {
  /** Path of a program; `ours` finds sluice's own dependencies, `peers` those of bench/package.json. */
  program(name: string, modules: 'ours' | 'peers'): string
}

/** Compiles sluice into a directory of its own, beside copies of the programs. */
export async function buildStage(): Promise<Stage> {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-bench-'))
  const dist = join(directory, 'ours', 'dist')
  await compile(dist, { toRun: true })
  for (const [name, modules] of [
    ['ours', join(ROOT, 'node_modules')],
    ['peers', join(ROOT, 'bench', 'node_modules')],
  ] as const) {
    const place = join(directory, name)
    mkdirSync(place, { recursive: true })
    symlinkSync(modules, join(place, 'node_modules'))
    writeFileSync(
      join(place, 'package.json'),
      JSON.stringify({ type: 'module', imports: { '#dist/*': './dist/*' } }),
    )
    cpSync(PROGRAMS, place, { recursive: true })
  }
  return {
    program: (name, modules) => join(directory, modules, name),
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }),
  }
}

export interface Served extends AsyncDisposable {
  readonly child: ChildProcess
  /** Resolves when it has ended, with how. */
  readonly exited: Promise<string>
  readonly url: string
}

export interface ServeOptions {
  /** A module that is imported before the program. */
  readonly preload?: string
  /** Its environment, besides PATH. */
  readonly env?: Readonly<Record<string, string>>
}

/** Starts a program and resolves when it has said where it listens. */
export async function serve(program: string, options: ServeOptions = {}): Promise<Served> {
  const preload = options.preload === undefined ? [] : ['--import', options.preload]
  const stdio =
    options.preload === undefined ? ['ignore', 'pipe', 'inherit'] : ['ignore', 'pipe', 'inherit', 'ipc']
  const child = spawn(process.execPath, [...preload, program], {
    stdio: stdio as ['ignore', 'pipe', 'inherit'],
    env: { PATH: process.env['PATH'], ...options.env },
  })
  const exited = new Promise<string>((resolve) =>
    child.once('exit', (code, signal) => resolve(String(code ?? signal))),
  )
  let text = ''
  child.stdout.setEncoding('utf8')
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout.on('data', (chunk) => {
      if (text.length < 10_000) text += String(chunk)
      const said = /"url":"([^"]+)"/.exec(text)?.[1]
      if (said !== undefined) resolve(said)
    })
    void exited.then((how) => reject(new Error(`${program} ended with ${how} before it listened:\n${text}`)))
  })
  return {
    child,
    exited,
    url,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await exited
    },
  }
}
