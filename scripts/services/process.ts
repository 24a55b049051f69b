/** Processes: run one to its end, start one that outlives us, ask whether it is still the one we started, end it. */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { open, readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'

const KEPT_OUTPUT = 4_000

/** How each program that is asked for comes to the machine. */
const INSTALL: Readonly<Record<string, string>> = {
  java: 'install Java 17 or later, a JDK (Debian: apt-get install default-jdk-headless), and have `java` in PATH',
  mvn: 'install Apache Maven (Debian: apt-get install maven), and have `mvn` in PATH; it is needed once, to bring the jars',
}

export async function runToEnd(options: {
  readonly program: string
  readonly args: readonly string[]
  readonly directory: string
  readonly limitMs: number
}): Promise<void> {
  const { program, args, directory, limitMs } = options
  const child = spawn(program, args, { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'], timeout: limitMs })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => (output = (output + chunk.toString()).slice(-KEPT_OUTPUT)))
  }
  const [code, signal] = (await once(child, 'close').catch((error: unknown) => {
    throw absent(program, error)
  })) as [number | null, NodeJS.Signals | null]
  if (code === 0) return
  const how = signal === null ? `exit code ${code}` : `${signal}, after at most ${limitMs / 1_000} s`
  throw new Error(`${program} ${args[0] ?? ''} failed (${how}):\n${output.trim()}`)
}

/** Starts a process of its own group, which writes to a file and outlives this one. */
export async function startDetached(options: {
  readonly program: string
  readonly args: readonly string[]
  readonly directory: string
  readonly logFile: string
}): Promise<number> {
  const { program, args, directory, logFile } = options
  const log = await open(logFile, 'a')
  try {
    const child = spawn(program, args, { cwd: directory, detached: true, stdio: ['ignore', log.fd, log.fd] })
    await once(child, 'spawn').catch((error: unknown) => {
      throw absent(program, error)
    })
    child.unref()
    if (child.pid === undefined) throw new Error(`${program} has no process id`)
    return child.pid
  } finally {
    await log.close()
  }
}

/**
 * When a process was started, as the system says it; `undefined` when there is none. A process id is used again after
 * its process has gone, so a process is known by both.
 */
export async function birthOf(pid: number): Promise<string | undefined> {
  if (process.platform === 'linux') {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
    // The name, in brackets, may hold anything; state is the first field after it, the start the twentieth.
    const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields?.[0] === 'Z' ? undefined : fields?.[19]
  }
  const { stdout } = await promisify(execFile)('ps', ['-o', 'lstart=', '-p', String(pid)]).catch(() => ({
    stdout: '',
  }))
  return stdout.trim() === '' ? undefined : stdout.trim()
}

/** Asks it to end, and kills it when it has not after the limit. Does nothing when it is another process by now. */
export async function endProcess(pid: number, birth: string, limitMs: number): Promise<'ended' | 'killed'> {
  const lives = async (): Promise<boolean> => (await birthOf(pid)) === birth
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    if (!(await lives())) return 'ended'
    process.kill(pid, signal)
    const until = performance.now() + limitMs
    while (performance.now() < until) {
      if (!(await lives())) return signal === 'SIGTERM' ? 'ended' : 'killed'
      await sleep(50)
    }
  }
  throw new Error(`process ${pid} did not end`)
}

function absent(program: string, error: unknown): Error {
  const isAbsent = error instanceof Error && 'code' in error && error.code === 'ENOENT'
  if (!isAbsent) return error instanceof Error ? error : new Error(String(error))
  return new Error(`${program} is not here: ${INSTALL[program] ?? 'install it'}`)
}
