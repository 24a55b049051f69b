/** What a session is handed: the calls of a database, all on one connection. */
import type { Session } from './api.ts'
import { END_MS } from './database-host.ts'
import type { OwnConnection } from './own-connection.ts'
import { createQueries } from './queries.ts'
import { specPair } from './send.ts'
import type { CursorConnection } from './stream.ts'

const TYPED = specPair('query')

export function sessionOf(component: string, own: OwnConnection, signal: AbortSignal): Session {
  let cursors = 0
  return {
    ...createQueries({
      component,
      send: own.send,
      fail: (spec, error) => own.fail(spec, error),
      batch: (list, more) => own.batch(list, more),
      openCursor: () => openCursor(own, `sluice_cursor_${++cursors}`),
      begin: () =>
        Promise.resolve({
          query: (sql, params, extras) => own.send(TYPED, sql, params, undefined, (result) => result, extras),
          release: () => Promise.resolve(),
        }),
    }),
    signal,
    script: (sql, options) => own.script(sql, options),
  }
}

/** In the transaction that the session is in, or in one that ends with the cursor. */
async function openCursor(own: OwnConnection, name: string): Promise<CursorConnection> {
  const began = !own.inTransaction
  if (began) await own.control('begin', END_MS)
  return {
    name,
    send: (spec, sql, params) => own.send(spec, sql, params, undefined, (result) => result),
    finish: async () => {
      if (own.closed || own.connection.isClosed) return
      await own.control(began ? 'commit' : `close ${name}`, END_MS).catch(() => {})
    },
  }
}
