/** The service under faults as a process of its own. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

export const PROGRAM = join(import.meta.dirname, '../programs/main.ts')

export interface Program extends AsyncDisposable {
  readonly child: ChildProcess
  readonly url: string
  /** All that was written to standard output and error so far. */
  readonly output: string
  /** Resolves when the output holds `text`, what is there already included; rejects when the process ends without. */
  says(text: string | RegExp): Promise<void>
  /** Its exit code, or the signal that ended it. */
  readonly exit: Promise<number | string>
  kill(signal: NodeJS.Signals): void
}

export interface ProgramOptions {
  readonly env?: Readonly<Record<string, string>>
  /** @default node with the program */
  readonly command?: readonly string[]
  readonly cwd?: string
  /** What it says when this function is to resolve. @default that it listens */
  readonly until?: string | RegExp
}

export async function startProgram(options: ProgramOptions = {}): Promise<Program> {
  const { env = {}, cwd, command = nodeCommand(), until = /listens on/ } = options
  const child = spawn(command[0] ?? '', command.slice(1), {
    env: { PATH: process.env['PATH'], ...env },
    ...(cwd !== undefined && { cwd }),
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own, so that what a wrapper leaves behind is ended with it.
    detached: true,
  })
  // Also when the test file is ended before the test could.
  const end = (): void => endGroup(child)
  process.once('exit', end)
  child.once('close', () => process.off('exit', end))
  let output = ''
  const waiting = new Set<() => void>()
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += String(text)
      for (const look of waiting) look()
    })
  }
  // Only then has all of the output been read.
  const exit = once(child, 'close').then(([code, signal]: unknown[]) => (code ?? signal) as number | string)
  const says = (text: string | RegExp): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (typeof text === 'string' ? !output.includes(text) : !text.test(output)) return
        waiting.delete(look)
        resolve()
      }
      waiting.add(look)
      child.once('close', () => reject(new Error(`ended without saying ${String(text)}:\n${output}`)))
      look()
    })
  const program: Program = {
    child,
    get url() {
      return /"url":"([^"]+)"/.exec(output)?.[1] ?? ''
    },
    get output() {
      return output
    },
    says,
    exit,
    kill: (signal) => void child.kill(signal),
    async [Symbol.asyncDispose]() {
      endGroup(child)
      await exit
    },
  }
  try {
    await says(until)
  } catch (error) {
    await program[Symbol.asyncDispose]()
    throw error
  }
  return program
}

export function nodeCommand(): readonly string[] {
  return [process.execPath, '--conditions=sluice-source', PROGRAM]
}

function endGroup(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
  } catch {
    // All of it has ended.
  }
}
