/**
 * What stands in front of the processes: sends each request to one that says it is ready, over connections that are kept
 * open. A request that no process took (nobody listens) goes to the next one; one that was sent and not answered has
 * failed.
 */
import { Agent, request } from 'node:http'
import type { Replica } from './replica.ts'

const LOOK_EVERY_MS = 50
const LIMIT_MS = 30_000

export class Balancer implements Disposable {
  readonly #replicas: readonly Replica[]
  readonly #agent = new Agent({ keepAlive: true })
  readonly #ready = new Set<Replica>()
  readonly #timer: NodeJS.Timeout
  #turn = 0

  constructor(replicas: readonly Replica[]) {
    this.#replicas = replicas
    this.#timer = setInterval(() => void this.#look(), LOOK_EVERY_MS)
  }

  /** The status of the answer. Rejects where it was sent and not answered. */
  async post(path: string, body: unknown): Promise<number> {
    const until = Date.now() + LIMIT_MS
    for (;;) {
      const replica = this.#next()
      try {
        if (replica !== undefined) return await this.#send(replica.port, 'POST', path, JSON.stringify(body))
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ECONNREFUSED') throw error
      }
      if (Date.now() > until) throw new Error('no process took the request')
      if (replica === undefined) await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
      else this.#ready.delete(replica)
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
    this.#agent.destroy()
  }

  #next(): Replica | undefined {
    const ready = [...this.#ready]
    return ready[this.#turn++ % Math.max(1, ready.length)]
  }

  async #look(): Promise<void> {
    await Promise.all(
      this.#replicas.map(async (replica) => {
        if (replica.port === 0) return
        const status = await this.#send(replica.port, 'GET', '/readyz', '').catch(() => 0)
        if (status === 200) this.#ready.add(replica)
        else this.#ready.delete(replica)
      }),
    )
  }

  #send(port: number, method: string, path: string, body: string): Promise<number> {
    return new Promise((resolve, reject) => {
      const headers = body === '' ? {} : { 'content-type': 'application/json' }
      const call = request({
        host: '127.0.0.1',
        port,
        path,
        method,
        headers,
        agent: this.#agent,
        timeout: LIMIT_MS,
      })
      call.on('timeout', () => call.destroy(new Error('no answer')))
      call.on('error', reject)
      call.on('response', (response) => {
        response.resume()
        response.on('end', () => resolve(response.statusCode ?? 0))
        response.on('error', reject)
      })
      call.end(body)
    })
  }
}
