/** Requests each on a connection of its own, so that no client's pool counts among what the service left open. */
import { request, type Agent } from 'node:http'
import { startLoopTime } from './loop-time.ts'

/** The service that is asked runs in this process, or is started by it on the same machine. */
const time = startLoopTime()

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  readonly body: string
  /** By the time of the event loop. */
  readonly ms: number
}

/** Rejects when there is no answer within 20 s. `agent`: for connections that are used again. */
export function ask(
  url: string,
  method: 'GET' | 'POST' = 'GET',
  agent: Agent | false = false,
): Promise<Answer> {
  const began = time.now()
  return new Promise((resolve, reject) => {
    const call = request(url, { method, agent, timeout: 20_000 }, (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (chunk) => (body += String(chunk)))
      response.on('end', () => {
        const { statusCode: status = 0, headers } = response
        resolve({ status, headers, body, ms: time.now() - began })
      })
      response.on('error', reject)
    })
    call.on('timeout', () => call.destroy(new Error(`no answer of ${url} within 20 s`)))
    call.on('error', reject)
    call.end()
  })
}

/** Asks until the answer has this status; rejects when it has not within `ms` of the event loop. Says how long it took. */
export async function becomes(url: string, status: number, ms: number): Promise<number> {
  const began = time.now()
  for (;;) {
    const answer = await ask(url)
    const tookMs = time.now() - began
    if (answer.status === status) return tookMs
    if (tookMs > ms)
      throw new Error(
        `${url} is ${answer.status} and not ${status} after ${Math.round(tookMs)} ms: ${answer.body}`,
      )
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
