/**
 * Rows of a large result a few at a time, through a cursor of the server.
 *
 * The next rows are asked for only when the last ones were taken, so memory holds one batch and a slow reader slows the
 * server, nothing else. Leaving the loop early, an error in it and an abort all close the cursor. The cursor lives in
 * a read-only transaction of its own: it sees one state of the data, however long the reading takes.
 */
import { SluiceError } from '../../core/errors.ts'
import type { Row, StreamOptions } from './api.ts'
import type { DriverResult } from './driver.ts'
import { specPair, type SpecPair } from './send.ts'

export interface CursorConnection {
  /** Of the cursor; no other of the connection has it. */
  readonly name: string
  /** Sends one statement; rejects when it fails, or is not answered in time. */
  send(spec: SpecPair, sql: string, params?: readonly unknown[]): PromiseLike<DriverResult>
  /** Closes the cursor, gives the connection back. Never rejects; may be called twice. */
  finish(): Promise<void>
}

const DECLARE = specPair('stream')
const FETCH = specPair('fetch')
const MAX_BATCH = 100_000

export function streamRows<T extends object = Row>(
  open: (signal: AbortSignal | undefined) => Promise<CursorConnection>,
  sql: string,
  params: readonly unknown[] | undefined,
  options: StreamOptions,
): AsyncIterableIterator<T> {
  const { batchSize = 500, signal } = options
  if (!Number.isInteger(batchSize) || batchSize < 1 || batchSize > MAX_BATCH) {
    throw new SluiceError(
      'SLUICE_INVALID_ARGUMENT',
      `stream.batchSize: expected a whole number from 1 to ${MAX_BATCH}, got ${String(batchSize)}`,
    )
  }
  return read<T>(open, sql, params, batchSize, signal)
}

async function* read<T extends object>(
  open: (signal: AbortSignal | undefined) => Promise<CursorConnection>,
  sql: string,
  params: readonly unknown[] | undefined,
  batchSize: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<T, void, undefined> {
  signal?.throwIfAborted()
  const connection = await open(signal)
  try {
    await connection.send(DECLARE, `declare ${connection.name} no scroll cursor for ${sql}`, params)
    for (;;) {
      const { rows } = await connection.send(FETCH, `fetch ${batchSize} from ${connection.name}`)
      for (const row of rows) {
        signal?.throwIfAborted()
        yield row as T
      }
      if (rows.length < batchSize) return
    }
  } finally {
    await connection.finish()
  }
}
