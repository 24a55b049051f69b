/** Requests each on a connection of its own, so that no client's pool counts among what the service left open. */
import { request } from 'node:http'

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  readonly body: string
  readonly ms: number
}

/** Rejects when there is no answer within 20 s. */
export function ask(url: string, method: 'GET' | 'POST' = 'GET'): Promise<Answer> {
  const began = performance.now()
  return new Promise((resolve, reject) => {
    const call = request(url, { method, agent: false, timeout: 20_000 }, (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (chunk) => (body += String(chunk)))
      response.on('end', () => {
        const { statusCode: status = 0, headers } = response
        resolve({ status, headers, body, ms: performance.now() - began })
      })
      response.on('error', reject)
    })
    call.on('timeout', () => call.destroy(new Error(`no answer of ${url} within 20 s`)))
    call.on('error', reject)
    call.end()
  })
}

/** Asks until the answer has this status; rejects when it has not within `ms`. Says how long it took. */
export async function becomes(url: string, status: number, ms: number): Promise<number> {
  const began = performance.now()
  for (;;) {
    const answer = await ask(url)
    const tookMs = performance.now() - began
    if (answer.status === status) return tookMs
    if (tookMs > ms)
      throw new Error(
        `${url} is ${answer.status} and not ${status} after ${Math.round(tookMs)} ms: ${answer.body}`,
      )
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
