/**
 * Pictures: the client puts the bytes into the store itself, by a URL that works once for a while and for so many bytes;
 * they do not pass through here. Then they are looked at, by a job whose work for the processor is done in a thread, and
 * only what was found to be a picture may be shown with a post.
 *
 *     awaited ── PUT, POST …/uploaded ──▶ uploaded ── inspect_media ──▶ ready | refused
 */
import { randomUUID } from 'node:crypto'
import { hasCode, service, type Http } from 'sluice'
import { job, type Jobs } from 'sluice/jobs'
import type { Postgres } from 'sluice/postgres'
import type { S3 } from 'sluice/s3'
import type { Threads } from 'sluice/threads'
import { z } from 'zod'
import type { Inspection } from '../media/inspect-task.ts'
import { NotFound, Refused } from '../problems.ts'
import { whoAsks } from '../shapes.ts'

const TASK = new URL('../media/inspect-task.ts', import.meta.url)
const MAX_BYTES = 8 * 1024 * 1024
const SHOWN_FOR_SECONDS = 300
const TYPES = ['image/png', 'image/jpeg', 'image/gif', 'image/webp'] as const

const InspectMedia = job('inspect_media', z.object({ id: z.uuid() }), {
  attempts: 5,
  timeout: '1m',
  concurrency: 4,
})

const newMedia = z.object({ contentType: z.enum(TYPES), bytes: z.number().int().min(1).max(MAX_BYTES) })
const ofMedia = z.object({ id: z.uuid() })

interface Needs {
  readonly db: Postgres
  readonly http: Http
  readonly jobs: Jobs
  readonly store: S3
  readonly threads: Threads
}

export const media = service('media', ({ db, http, jobs, store, threads }: Needs) => {
  http.post('/media', { schema: { body: newMedia } }, async (request, reply) => {
    const { contentType, bytes } = request.body
    const id = randomUUID()
    const made = await db.insert(
      'insert into media (id, owner_id, content_type, bytes) select $1, id, $3, $4 from users where id = $2',
      [id, whoAsks(request), contentType, bytes],
    )
    if (made === 0) throw new NotFound('user', whoAsks(request))
    const { url, method, headers } = await store.presignPut(keyOf(id), {
      contentType,
      size: bytes,
      expiresIn: '10m',
    })
    return reply.code(201).send({ id, upload: { url, method, headers } })
  })

  http.post('/media/:id/uploaded', { schema: { params: ofMedia } }, async (request, reply) => {
    const { id } = request.params
    if (!(await store.exists(keyOf(id)))) throw new Refused(409, 'nothing was uploaded yet')
    await db.transaction(async (tx) => {
      const changed = await tx.update(
        `update media set state = 'uploaded' where id = $1 and owner_id = $2 and state = 'awaited'`,
        [id, whoAsks(request)],
      )
      // Told again, it was looked at already, or is being.
      if (changed === 1) await jobs.enqueue(InspectMedia, { id }, { tx })
    })
    return reply.code(202).send()
  })

  http.get('/media/:id', { schema: { params: ofMedia } }, async (request) => {
    const row = await db.queryOne('select id, state, width, height, color from media where id = $1', [
      request.params.id,
    ])
    if (row === undefined) throw new NotFound('media', request.params.id)
    return row
  })

  /** Where its bytes are; for `<img src>`. */
  http.get('/media/:id/bytes', { schema: { params: ofMedia } }, async (request, reply) => {
    const row = await db.queryOne<{ type: string }>(
      `select content_type as type from media where id = $1 and state = 'ready'`,
      [request.params.id],
    )
    if (row === undefined) throw new NotFound('media', request.params.id)
    const { url } = await store.presignGet(keyOf(request.params.id), {
      expiresIn: '15m',
      contentType: row.type,
    })
    return reply.header('cache-control', `private, max-age=${SHOWN_FOR_SECONDS}`).redirect(url)
  })

  jobs.handle(InspectMedia, async ({ data, signal }) => {
    const found = await inspect(data.id, signal)
    // Once: an attempt that comes late finds it in another state.
    await db.update(
      `update media set state = $2, width = $3, height = $4, color = $5 where id = $1 and state = 'uploaded'`,
      [
        data.id,
        found === null ? 'refused' : 'ready',
        found?.width ?? null,
        found?.height ?? null,
        found?.color ?? null,
      ],
    )
    if (found === null) await store.delete(keyOf(data.id))
  })

  /** Null where it is no picture that is taken here. */
  async function inspect(id: string, signal: AbortSignal): Promise<Inspection | null> {
    try {
      const object = await store.download(keyOf(id), { signal })
      const bytes = await object.bytes({ maxBytes: MAX_BYTES })
      return await threads.run<Inspection | null>(TASK, bytes, { signal, timeout: '20s' })
    } catch (error) {
      if (hasCode(error, 'SLUICE_NOT_FOUND') || hasCode(error, 'SLUICE_TOO_LARGE')) return null
      throw error
    }
  }
})

function keyOf(id: string): string {
  return `media/${id}`
}
