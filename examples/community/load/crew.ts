/** The processes under load: asked in turn, killed and replaced where that is wanted, and what they say of themselves. */
import { startWorker, type Pulse, type Worker } from '../workers.ts'
import type { Answer, Ask } from './people.ts'
import { SampleSet } from './samples.ts'

const ANSWER_LIMIT_MS = 30_000

export class Crew {
  /** Milliseconds from commit to effect, of each subscriber. */
  readonly delays = new SampleSet()
  /** Resident bytes of each process, as it said last. */
  readonly memory = new Map<
    string,
    { readonly first: number; readonly most: number; readonly last: number }
  >()
  kills = 0
  #workers: Worker[] = []
  #turn = 0

  async start(count: number): Promise<void> {
    this.#workers = await Promise.all(Array.from({ length: count }, () => this.#begin()))
  }

  readonly ask: Ask = async (method, path, who, body): Promise<Answer> => {
    const alive = this.#workers.filter(({ isDead }) => !isDead)
    const worker = alive[this.#turn++ % alive.length]
    if (worker === undefined) return { status: 0, body: null }
    try {
      const response = await fetch(new URL(path, worker.url), {
        method,
        headers: {
          ...(who !== null && { 'x-user': who }),
          ...(body && { 'content-type': 'application/json' }),
        },
        ...(body && { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(ANSWER_LIMIT_MS),
      })
      const text = await response.text()
      return { status: response.status, body: text === '' ? null : JSON.parse(text) }
    } catch {
      return { status: 0, body: null }
    }
  }

  /** Ends one by SIGKILL, in turn, and puts a new one in its place. */
  async replaceOne(): Promise<void> {
    const index = this.kills++ % this.#workers.length
    const victim = this.#workers[index]
    victim?.kill('SIGKILL')
    await victim?.ended
    this.#workers[index] = await this.#begin()
  }

  /** How those ended that were not killed: 0 is in good order. */
  async stop(): Promise<readonly (number | string)[]> {
    for (const worker of this.#workers) worker.kill('SIGTERM')
    return Promise.all(this.#workers.map(({ ended }) => ended))
  }

  #begin(): Promise<Worker> {
    return startWorker((pulse) => this.#hear(pulse))
  }

  #hear({ url, rssBytes, delays }: Pulse): void {
    const known = this.memory.get(url) ?? { first: rssBytes, most: rssBytes }
    this.memory.set(url, { first: known.first, most: Math.max(known.most, rssBytes), last: rssBytes })
    for (const [subscriber, samples] of Object.entries(delays)) {
      for (const ms of samples) this.delays.of(subscriber).add(ms)
    }
  }
}
