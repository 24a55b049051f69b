/** Other processes of this program: on ports of their own, sharing subscriptions and jobs through the database. */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'

/** What a worker tells its parent every second. */
export interface Pulse {
  readonly url: string
  readonly rssBytes: number
  readonly delays: Readonly<Record<string, readonly number[]>>
}

export interface Worker {
  readonly url: string
  readonly pid: number
  readonly isDead: boolean
  /** Its exit code, or the signal that ended it. */
  readonly ended: Promise<number | string>
  kill(signal: NodeJS.Signals): void
}

const MAIN = new URL('./main.ts', import.meta.url)

/** Resolves when it is ready to serve. Rejects when it ends before. */
export async function startWorker(onPulse: (pulse: Pulse) => void = () => {}): Promise<Worker> {
  const child = fork(MAIN, ['serve'], {
    env: { ...process.env, APP_PORT: '0', APP_HOST: '127.0.0.1', COMMUNITY_WORKER: '1' },
    // Its log is ours; its standard output says nothing else.
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  // A process that dies takes its workers along: they end when the channel closes.
  const ended = once(child, 'exit').then(([code, signal]: unknown[]) => (code ?? signal) as number | string)
  const first = await firstPulse(child, onPulse)
  return {
    url: first.url,
    pid: child.pid ?? 0,
    get isDead() {
      return child.killed || child.exitCode !== null || child.signalCode !== null
    },
    ended,
    kill: (signal) => void child.kill(signal),
  }
}

function firstPulse(child: ChildProcess, onPulse: (pulse: Pulse) => void): Promise<Pulse> {
  return new Promise((resolve, reject) => {
    child.on('message', (pulse) => {
      resolve(pulse as Pulse)
      onPulse(pulse as Pulse)
    })
    child.once('exit', (code, signal) =>
      reject(new Error(`a worker ended before it was ready (${code ?? signal})`)),
    )
  })
}
