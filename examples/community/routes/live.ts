/**
 * `GET /live?user=7`: server-sent events of one person. `notices` are what they were told and this connection has not
 * shown yet, `feed` says that there is something new to read.
 *
 * A hint (`live.ts`) makes a stream look; so do fifteen seconds without one, and a lost connection to the database, as
 * hints may be lost. What is sent comes from the table each time, and is known by its id, so nothing depends on order.
 */
import { Readable } from 'node:stream'
import { service, type AppFacts, type Clock, type Http } from 'sluice'
import type { Listening, Postgres } from 'sluice/postgres'
import { z } from 'zod'
import { LIVE_CHANNEL } from '../live.ts'
import { id } from '../shapes.ts'
import { noticesOf } from './notifications.ts'

const LOOK_EVERY = 15_000
const SHOWN = 30
const ofUser = z.object({ user: id })

interface Needs {
  readonly app: AppFacts
  readonly clock: Clock
  readonly db: Postgres
  readonly http: Http
}

export const live = service('live', ({ app, clock, db, http }: Needs) => {
  /** What wakes the open streams of each person. */
  const streams = new Map<string, Set<() => void>>()
  let listening: Listening | undefined

  http.get('/live', { schema: { querystring: ofUser } }, async (request, reply) => {
    const { user } = request.query
    const ended = new AbortController()
    request.raw.once('close', () => ended.abort())
    const stream = Readable.from(told(user, AbortSignal.any([ended.signal, app.signal])), {
      objectMode: false,
    })
    return reply.header('cache-control', 'no-store').type('text/event-stream').send(stream)
  })

  async function* told(user: string, signal: AbortSignal): AsyncGenerator<string> {
    yield 'retry: 2000\n\n'
    let shown: ReadonlySet<string> | undefined
    while (!signal.aborted) {
      const wait = new AbortController()
      // Before the look, so that nothing falls in between.
      const off = wakeOn(user, () => wait.abort())
      try {
        const newest = await noticesOf(db, user, SHOWN)
        const fresh = newest.filter((notice) => !shown?.has(notice.id))
        if (fresh.length > 0 || shown === undefined) yield message('notices', fresh)
        shown = new Set(newest.map((notice) => notice.id))
        await clock.sleep(LOOK_EVERY, { signal: AbortSignal.any([signal, wait.signal]) })
        yield ': still here\n\n'
      } catch (error) {
        if (!wait.signal.aborted) {
          if (signal.aborted) return
          throw error
        }
        yield message('feed', {})
      } finally {
        off()
        wait.abort()
      }
    }
  }

  function wakeOn(user: string, wake: () => void): () => void {
    const wakes = streams.get(user) ?? new Set()
    streams.set(user, wakes.add(wake))
    return () => {
      wakes.delete(wake)
      if (wakes.size === 0) streams.delete(user)
    }
  }

  return {
    start: async () => {
      listening = await db.listen(LIVE_CHANNEL, ({ payload, gap }) => {
        const users = gap ? streams.keys() : payload.split(',')
        for (const user of users) for (const wake of streams.get(user) ?? []) wake()
      })
    },
    stop: () => listening?.close(),
  }
})

function message(event: string, data: unknown): string {
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`
}
