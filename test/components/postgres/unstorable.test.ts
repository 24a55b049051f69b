import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTestApp } from 'sluice/testing'
import { service, type Http } from 'sluice'
import { postgres, type Postgres } from 'sluice/postgres'
import { recordingLogger, type RecordedLine } from '../../telemetry/recording-logger.ts'

interface Needs {
  readonly db: Postgres
  readonly http: Http
}

const echo = service('echo', ({ db, http }: Needs) => {
  http.post('/text', ({ body }) => db.query('select $1::text as text', [body]))
  http.post('/json', ({ body }) => db.query('select $1::jsonb as json', [body]))
})

test('a NUL in a request is a mistake of the request: 400, and no error in the log', async () => {
  const lines: RecordedLine[] = []
  await using app = await createTestApp({
    name: 'echo',
    components: { db: postgres() },
    services: [echo],
    logger: recordingLogger(lines),
  })
  for (const [url, payload] of [
    ['/text', 'a\0b'],
    ['/json', String.raw`"a\u0000b"`],
  ] as const) {
    const headers = { 'content-type': 'text/plain' }
    const reply = await app.inject({ method: 'POST', url, payload, headers })
    const { code, detail } = reply.json<{ code: string; detail: string }>()
    assert.deepEqual([reply.statusCode, code], [400, 'INVALID_REQUEST'], url)
    assert.match(detail, /such as NUL/)
    assert.equal((await app.inject({ method: 'POST', url, payload: '"ab"', headers })).statusCode, 200)
  }
  assert.deepEqual(
    lines.filter(({ level }) => level === 'error'),
    [],
  )
})
