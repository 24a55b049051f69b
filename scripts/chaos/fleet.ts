/**
 * The processes of a run: started, killed at random moments or at named ones, frozen and thawed, told to stop, and
 * started again. Every one is ended at the end, whatever happened.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import type { Recorder } from './record.ts'
import type { Fault } from './watch.ts'

export interface FleetOptions {
  readonly program: string
  readonly size: number
  readonly env: Readonly<Record<string, string>>
  readonly random: () => number
  readonly recorder: Recorder
  /** Moments at which a process may end itself. */
  readonly moments: readonly string[]
  /** Milliseconds that a process is frozen. */
  readonly freezeMs: number
  readonly log: (text: string) => void
  /** At each fault that befell a process of this id. */
  readonly onFault: (fault: Fault, pid: number) => void
}

interface Member {
  readonly child: ChildProcess
  readonly exited: Promise<unknown>
  readonly ready: Promise<unknown>
  isReady: boolean
  /** Frozen, or told to end: no other fault is to befall it. */
  isSpared: boolean
}

/** For a process to end after a SIGTERM. */
const STOP_LIMIT_MS = 20_000
/** Processes that nobody ended. With so many the run is over. */
const MAX_CRASHES = 5

export class Fleet {
  readonly #options: FleetOptions
  readonly #members = new Set<Member>()
  readonly #thaws = new Set<Promise<void>>()
  kills = 0
  freezes = 0
  stops = 0
  /** By how they ended: a signal or an exit code. */
  readonly exits = new Map<string, number>()
  /** Exits that nobody asked for: with a code, or by a signal that this run did not send. */
  readonly crashes: string[] = []
  readonly #broken = Promise.withResolvers<never>()
  #over = false

  constructor(options: FleetOptions) {
    this.#options = options
    this.#broken.promise.catch(() => {})
  }

  async start(): Promise<void> {
    for (let i = 0; i < this.#options.size; i++) this.#spawn()
    await this.#orBroken(Promise.all([...this.#members].map((member) => member.ready)))
  }

  /**
   * One fault; false where no process was left for it. Half of the processes end themselves besides, at a moment of their
   * own. A freeze thaws by itself.
   */
  async strike(fault: Fault): Promise<boolean> {
    const { random, recorder, onFault } = this.#options
    const hale = [...this.#members].filter((member) => !member.isSpared)
    if (hale.length === 0) return false
    const awake = hale.filter((member) => member.isReady)
    const member = pick(random, awake.length > 0 ? awake : hale)
    await this.#orBroken(member.ready)
    const { child } = member
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return false
    if (fault === 'freeze') {
      this.#freeze(member, child.pid)
    } else if (fault === 'stop') {
      member.isSpared = true
      this.stops++
      recorder.write({ f: 'term' }, child.pid)
      onFault('stop', child.pid)
      child.kill('SIGTERM')
    } else {
      recorder.write({ f: 'kill' }, child.pid)
      child.kill('SIGKILL')
      await member.exited
    }
    return true
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
    }, STOP_LIMIT_MS)
    await Promise.all([...this.#members].map((member) => member.exited))
    clearTimeout(timer)
  }

  #spawn(): void {
    const { program, env, random, moments, onFault, log } = this.#options
    // Every other one ends itself at a moment of its own, after some of them.
    const moment =
      random() < 0.5 && moments.length > 0
        ? { CHAOS_MOMENT: pick(random, moments), CHAOS_AFTER: String(1 + Math.floor(random() * 40)) }
        : {}
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', program], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env: { ...process.env, ...env, ...moment },
    })
    let tail = ''
    child.stderr?.on('data', (chunk: Buffer) => (tail = (tail + chunk.toString()).slice(-2_000)))
    const exited = once(child, 'exit')
    const said = once(child, 'message').then(() => void (member.isReady = true))
    const member: Member = {
      child,
      exited,
      ready: Promise.race([said, exited]),
      isReady: false,
      isSpared: false,
    }
    this.#members.add(member)
    void exited.then(([code, signal]) => {
      this.#members.delete(member)
      const how = String(signal ?? code)
      this.exits.set(how, (this.exits.get(how) ?? 0) + 1)
      if (signal === 'SIGKILL') {
        this.kills++
        if (child.pid !== undefined) onFault('kill', child.pid)
      } else if (!isEnd(code, signal, this.#over, member.isSpared)) {
        this.crashes.push(`${how}: ${tail}`)
        log(`a process ended by itself (${how}): ${tail}`)
        if (this.crashes.length >= MAX_CRASHES) {
          this.#broken.reject(new Error(`${MAX_CRASHES} processes ended by themselves; the last: ${tail}`))
          return
        }
      }
      if (!this.#over) this.#spawn()
    })
  }

  /** Rejects when its processes do not stay alive. */
  #orBroken<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#broken.promise])
  }

  #freeze(member: Member, pid: number): void {
    const { recorder, freezeMs, onFault } = this.#options
    member.isSpared = true
    this.freezes++
    recorder.write({ f: 'freeze' }, pid)
    member.child.kill('SIGSTOP')
    onFault('freeze', pid)
    const thaw = new Promise<void>((resolve) => setTimeout(resolve, freezeMs)).then(() => {
      recorder.write({ f: 'thaw' }, pid)
      member.child.kill('SIGCONT')
      member.isSpared = false
      this.#thaws.delete(thaw)
    })
    this.#thaws.add(thaw)
  }
}

/** Was it told to end, and did so in order? One that had not come up yet may end by the signal. */
function isEnd(code: number | null, signal: string | null, isOver: boolean, isSpared: boolean): boolean {
  return (code === 0 && (isOver || isSpared)) || (signal === 'SIGTERM' && isOver)
}

function pick<T>(random: () => number, from: readonly T[]): T {
  return from[Math.floor(random() * from.length)] as T
}
