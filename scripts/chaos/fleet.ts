/**
 * The processes of a run: started, killed at random moments or at named ones, frozen and thawed, and started again, until
 * the number of kills is reached. Every one is ended at the end, whatever happened.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Recorder } from './record.ts'

export interface FleetOptions {
  readonly program: URL
  readonly size: number
  readonly env: Readonly<Record<string, string>>
  readonly random: () => number
  readonly recorder: Recorder
  /** Moments at which a process may end itself. */
  readonly moments: readonly string[]
  /** Share of faults that freeze instead of kill. */
  readonly freezeShare: number
  /** Milliseconds that a process is frozen. */
  readonly freezeMs: number
  readonly log: (text: string) => void
}

interface Member {
  readonly child: ChildProcess
  readonly exited: Promise<unknown>
  readonly ready: Promise<unknown>
  frozen: boolean
}

export class Fleet {
  readonly #options: FleetOptions
  readonly #members = new Set<Member>()
  readonly #thaws = new Set<Promise<void>>()
  kills = 0
  freezes = 0
  /** By how they ended: a signal or an exit code. */
  readonly exits = new Map<string, number>()
  #over = false

  constructor(options: FleetOptions) {
    this.#options = options
  }

  async start(): Promise<void> {
    for (let i = 0; i < this.#options.size; i++) this.#spawn()
    await Promise.all([...this.#members].map((member) => member.ready))
  }

  /** One fault: a kill, or a freeze of which the thaw comes by itself. Half of the kills are left to a named moment. */
  async strike(): Promise<void> {
    const { random, freezeShare, recorder } = this.#options
    const awake = [...this.#members].filter((member) => !member.frozen)
    if (awake.length === 0) return
    const member = pick(random, awake)
    await member.ready
    if (member.child.pid === undefined || member.child.exitCode !== null) return
    if (random() < freezeShare && awake.length > 1) {
      this.#freeze(member)
      return
    }
    recorder.write({ f: 'kill' }, member.child.pid)
    member.child.kill('SIGKILL')
    await member.exited
  }

  /** No more faults: what is frozen is thawed. */
  async calm(): Promise<void> {
    await Promise.all(this.#thaws)
  }

  /** Ends all, in order where they can. */
  async stop(): Promise<void> {
    this.#over = true
    await this.calm()
    for (const { child } of this.#members) child.kill('SIGTERM')
    const timer = setTimeout(() => {
      for (const { child } of this.#members) child.kill('SIGKILL')
    }, 20_000)
    await Promise.all([...this.#members].map((member) => member.exited))
    clearTimeout(timer)
  }

  #spawn(): void {
    const { program, env, random, moments } = this.#options
    // Every other one ends itself at a moment of its own, after some of them.
    const moment =
      random() < 0.5 && moments.length > 0
        ? { CHAOS_MOMENT: pick(random, moments), CHAOS_AFTER: String(1 + Math.floor(random() * 40)) }
        : {}
    const child = spawn(
      process.execPath,
      ['--conditions=sluice-source', '--disable-warning=ExperimentalWarning', fileURLToPath(program)],
      { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], env: { ...process.env, ...env, ...moment } },
    )
    let tail = ''
    child.stderr?.on('data', (chunk: Buffer) => (tail = (tail + chunk.toString()).slice(-2_000)))
    const exited = once(child, 'exit')
    const member: Member = {
      child,
      exited,
      ready: Promise.race([once(child, 'message'), exited]),
      frozen: false,
    }
    this.#members.add(member)
    void exited.then(([code, signal]) => {
      this.#members.delete(member)
      const how = String(signal ?? code)
      this.exits.set(how, (this.exits.get(how) ?? 0) + 1)
      if (signal === 'SIGKILL') this.kills++
      else if (!this.#over) this.#options.log(`a process ended by itself (${how}): ${tail}`)
      if (!this.#over) this.#spawn()
    })
  }

  #freeze(member: Member): void {
    const { recorder, freezeMs } = this.#options
    member.frozen = true
    this.freezes++
    recorder.write({ f: 'freeze' }, member.child.pid)
    member.child.kill('SIGSTOP')
    const thaw = new Promise<void>((resolve) => setTimeout(resolve, freezeMs)).then(() => {
      recorder.write({ f: 'thaw' }, member.child.pid)
      member.child.kill('SIGCONT')
      member.frozen = false
      this.#thaws.delete(thaw)
    })
    this.#thaws.add(thaw)
  }
}

function pick<T>(random: () => number, from: readonly T[]): T {
  return from[Math.floor(random() * from.length)] as T
}
