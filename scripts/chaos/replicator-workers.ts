/** The processes of a chaos run of the replicator: some at once, each replaced when it ends, ended by themselves or by the run. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { ReplicatorStats } from '../../src/replicator/index.ts'
import { pause } from './replicator-store.ts'
import type { Said } from './replicator-worker.ts'

/** Where a process may end itself. */
export const MOMENTS = [
  'open.before',
  'open.during',
  'open.after',
  'apply.before',
  'apply.during',
  'apply.after',
  'beginLoad.before',
  'beginLoad.during',
  'beginLoad.after',
  'finishLoad.before',
  'finishLoad.during',
  'finishLoad.after',
  'close.before',
  'close.during',
  'close.after',
  'received',
] as const

export interface WorkersOptions {
  readonly size: number
  readonly random: () => number
  readonly env: Readonly<Record<string, string>>
}

interface Worker {
  readonly child: ChildProcess
  readonly exited: Promise<unknown>
  /** Where it is to end itself, if anywhere. */
  readonly moment: string | undefined
  started: boolean
  spared: boolean
}

const STOP_LIMIT_MS = 25_000
const ASK_LIMIT_MS = 2_000

export class Workers {
  readonly #options: WorkersOptions
  readonly #workers = new Set<Worker>()
  kills = 0
  freezes = 0
  stops = 0
  /** By the moment at which processes ended themselves. */
  readonly moments = new Map<string, number>()
  /** What stopped in order said last. */
  readonly finals: ReplicatorStats[] = []
  /** Exits that nobody asked for. */
  readonly crashes: string[] = []
  #over = false
  /** While calm, nobody is to end itself. */
  calm = false

  constructor(options: WorkersOptions) {
    this.#options = options
  }

  start(): void {
    while (this.#workers.size < this.#options.size) this.#spawn()
  }

  /** Kills one, freezes it for `ms`, or tells it to stop. */
  async strike(how: 'kill' | 'freeze' | 'stop', ms: number): Promise<void> {
    const hale = [...this.#workers].filter(({ spared }) => !spared)
    const worker = hale[Math.floor(this.#options.random() * hale.length)]
    if (worker === undefined) return
    if (how === 'kill') {
      worker.child.kill('SIGKILL')
      await worker.exited
      return
    }
    worker.spared = true
    if (how === 'stop') {
      this.stops += 1
      worker.child.kill('SIGTERM')
      // The run goes on meanwhile: a rolling deploy. One that hangs is a crash.
      setTimeout(() => worker.child.kill('SIGKILL'), STOP_LIMIT_MS).unref()
      return
    }
    this.freezes += 1
    worker.child.kill('SIGSTOP')
    await pause(ms)
    worker.child.kill('SIGCONT')
    worker.spared = false
  }

  /** No more faults: those that were to end themselves are replaced by others that are not. */
  async settle(): Promise<void> {
    this.calm = true
    for (const worker of this.#workers) {
      if (worker.moment === undefined || worker.spared) continue
      worker.child.kill('SIGKILL')
      await worker.exited
    }
  }

  /** What those that answer say of themselves. */
  async stats(): Promise<readonly ReplicatorStats[]> {
    const asked = [...this.#workers].filter(({ started }) => started)
    const answers = await Promise.all(asked.map((worker) => this.#ask(worker)))
    return answers.filter((answer) => answer !== undefined)
  }

  async stop(): Promise<void> {
    this.#over = true
    const all = [...this.#workers]
    for (const { child } of all) child.kill('SIGTERM')
    const timer = setTimeout(() => all.forEach(({ child }) => child.kill('SIGKILL')), STOP_LIMIT_MS)
    await Promise.all(all.map(({ exited }) => exited))
    clearTimeout(timer)
  }

  async #ask({ child, exited }: Worker): Promise<ReplicatorStats | undefined> {
    const limit = new AbortController()
    const answer = new Promise<ReplicatorStats>((resolve) => {
      const hear = (said: Said): void => {
        if (said.say !== 'stats') return
        child.off('message', hear)
        resolve(said.stats)
      }
      child.on('message', hear)
      limit.signal.addEventListener('abort', () => child.off('message', hear))
    })
    if (!child.connected) return undefined
    // It may end at this moment, which its answer shows.
    child.send('stats', () => {})
    try {
      return await Promise.race([
        answer,
        exited.then(() => undefined),
        pause(ASK_LIMIT_MS).then(() => undefined),
      ])
    } finally {
      limit.abort()
    }
  }

  #spawn(): void {
    const { random, env } = this.#options
    const picked = MOMENTS[Math.floor(random() * MOMENTS.length)]!
    const often = picked.startsWith('apply') || picked === 'received'
    const after = 1 + Math.floor(random() * (picked === 'received' ? 200 : often ? 40 : 2))
    const moment = !this.calm && random() < 0.5 ? picked : undefined
    const child = spawn(
      process.execPath,
      ['--conditions=sluice-source', join(import.meta.dirname, 'replicator-worker.ts')],
      {
        stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
        env: {
          ...process.env,
          ...env,
          ...(moment === undefined ? {} : { CHAOS_MOMENT: moment, CHAOS_AFTER: String(after) }),
        },
      },
    )
    let tail = ''
    child.stderr?.on('data', (chunk: Buffer) => (tail = (tail + chunk.toString()).slice(-2_000)))
    child.setMaxListeners(0)
    child.on('error', () => {})
    const exited = once(child, 'exit')
    const worker: Worker = { child, exited, moment, started: false, spared: false }
    this.#workers.add(worker)
    child.on('message', (said: Said) => {
      if (said.say === 'started') worker.started = true
      if (said.say === 'final') this.finals.push(said.stats)
    })
    void exited.then(([code, signal]) => {
      this.#workers.delete(worker)
      if (signal === 'SIGKILL') {
        this.kills += 1
        if (moment !== undefined && !worker.spared)
          this.moments.set(moment, (this.moments.get(moment) ?? 0) + 1)
      } else if (!(worker.spared && (code === 0 || signal === 'SIGTERM')) && !this.#over) {
        this.crashes.push(`${String(signal ?? code)}: ${tail}`)
      }
      if (!this.#over) this.#spawn()
    })
  }
}
