/** `npm run example:community -- load` as a process that is told when it is enough, and what it says. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

const MAIN = join(import.meta.dirname, '../../../examples/community/main.ts')
/** It is told to end before. */
const SECONDS = 86_000
const BEGUN = /^a town of /m
const MAX_COMPLAINTS = 20_000

export interface Load {
  /** Resolves when the town is made and people do things; rejects when it ends before. */
  readonly begun: Promise<void>
  readonly ended: Promise<number>
  readonly hasEnded: boolean
  /** All that it said. */
  readonly output: string
  /** The end of what it and its processes logged. */
  readonly complaints: string
  say(word: 'kill' | 'enough'): void
  kill(): Promise<void>
}

export interface LoadOptions {
  readonly directory: string
  readonly env: Readonly<Record<string, string>>
  readonly users: number
  readonly rate: number
  readonly workers: number
  readonly seed: number
}

export function startLoad({ directory, env, users, rate, workers, seed }: LoadOptions): Load {
  const options = { users, rate, workers, seed, seconds: SECONDS }
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)])
  const child = fork(MAIN, ['load', ...args], {
    cwd: directory,
    execArgv: ['--conditions=sluice-source'],
    env: { ...withoutBrokers(process.env), ...env },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  const begun = Promise.withResolvers<void>()
  begun.promise.catch(() => {})
  let output = ''
  let complaints = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output += text
    if (BEGUN.test(output)) begun.resolve()
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    complaints = (complaints + text).slice(-MAX_COMPLAINTS)
  })
  const ended = once(child, 'close').then(([code]: unknown[]) => {
    begun.reject(new Error(`the load ended before it began:\n${output}${complaints}`))
    return typeof code === 'number' ? code : 1
  })
  return {
    begun: begun.promise,
    ended,
    get hasEnded() {
      return child.exitCode !== null || child.signalCode !== null
    },
    get output() {
      return output
    },
    get complaints() {
      return complaints
    },
    say: (word) => void (child.connected && child.send(word)),
    async kill() {
      child.kill('SIGKILL')
      await ended
    },
  }
}

/** The community is to know the broker of the run, and no other. */
function withoutBrokers(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !/^(?:MQ|KAFKA|EVENTS)_/.test(name)))
}
