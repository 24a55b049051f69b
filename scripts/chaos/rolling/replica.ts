/** One place of the service: a process after the other on the same port, each stopped by SIGTERM and waited for. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'

/** A start or stop that takes longer has failed; an app gives itself half of that to stop. */
const LIMIT_MS = 60_000

export class Replica {
  readonly #program: string
  readonly #env: Readonly<Record<string, string>>
  #child: ChildProcess | undefined
  #port = 0

  constructor(program: string, env: Readonly<Record<string, string>>) {
    this.#program = program
    this.#env = env
  }

  get port(): number {
    return this.#port
  }

  /** Resolves when it is ready for requests. */
  async start(): Promise<void> {
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', this.#program], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      env: { ...process.env, ...this.#env, CHAOS_PORT: String(this.#port) },
    })
    this.#child = child
    const started = new AbortController()
    const signal = AbortSignal.any([started.signal, AbortSignal.timeout(LIMIT_MS)])
    try {
      const [{ port }] = (await Promise.race([
        once(child, 'message', { signal }),
        once(child, 'exit', { signal }).then(([code]) => {
          throw new Error(`a process of the service ended with ${String(code)} while it started`)
        }),
      ])) as [{ readonly port: number }]
      this.#port = port
    } finally {
      started.abort()
    }
  }

  /** Its exit code; null where it had to be killed. */
  async stop(): Promise<number | null> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined || child.exitCode !== null) return child?.exitCode ?? 0
    const kill = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS)
    child.kill('SIGTERM')
    const [code] = (await once(child, 'exit')) as [number | null]
    clearTimeout(kill)
    return code
  }
}
