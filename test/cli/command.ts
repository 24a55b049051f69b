/** Runs the command line as a process of its own, as a shell would. */
import { spawn, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { runCli } from '../../src/cli/cli.ts'

const MAIN = join(import.meta.dirname, '..', '..', 'src', 'cli', 'main.ts')
export const PROGRAMS = join(import.meta.dirname, 'programs')

export interface Finished {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly out: string
  readonly err: string
}

export interface Options {
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Before the file, for node. */
  readonly node?: readonly string[]
}

export function start(args: readonly string[], options: Options = {}): ChildProcess {
  const line = commandLine(args, options)
  return spawn(process.execPath, line.command, { ...line.options, stdio: ['ignore', 'pipe', 'pipe'] })
}

/** What to spawn with Node.js. */
export function commandLine(args: readonly string[], options: Options = {}) {
  return {
    command: ['--conditions=sluice-source', ...(options.node ?? []), MAIN, ...args],
    options: {
      // Nothing of the environment of the tests but what a process needs.
      env: {
        PATH: process.env['PATH'],
        HOME: process.env['HOME'],
        APP_HOST: '127.0.0.1',
        APP_PORT: '0',
        ...options.env,
      },
      cwd: options.cwd ?? PROGRAMS,
    },
  }
}

export async function sluice(args: readonly string[], options: Options = {}): Promise<Finished> {
  return finished(start(args, options))
}

/** The same without a process, for commands that import no program: what they leave open is seen by the leak check. */
export async function inProcess(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Omit<Finished, 'signal'>> {
  const lines = { out: '', err: '' }
  const code = await runCli(args, {
    out: (line) => void (lines.out += `${line}\n`),
    err: (line) => void (lines.err += `${line}\n`),
    env,
    cwd: PROGRAMS,
  })
  return { code: code ?? null, ...lines }
}

const LIMIT_MS = 30_000

/** Resolves when the process has ended and its output is read to the end. */
export function finished(child: ChildProcess): Promise<Finished> {
  let out = ''
  let err = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (out += text))
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (err += text))
  const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS)
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      clearTimeout(timer)
      resolve({ code, signal, out, err })
    })
  })
}

/** The first group of `pattern` once it appears in the stream. */
export async function lineOf(stream: NodeJS.ReadableStream | null, pattern: RegExp): Promise<string> {
  let text = ''
  for await (const chunk of stream ?? []) {
    text += String(chunk)
    const match = pattern.exec(text)
    if (match !== null) return match[1] ?? ''
  }
  throw new Error(`never seen: ${pattern}; got ${text}`)
}
