/**
 * A cursor as documents, one batch in memory.
 *
 *     not begun ──next──▶ open ──┬─ last document ──▶ done
 *                                ├─ break, abort, error, idle, close of the component ──▶ closed
 *
 * Each batch is an operation: it has the deadline, waits for a connection, is measured. The first may be sent again, a
 * later one not, since nobody knows where the cursor then stands. Nothing is asked for before the batch is used up, so a
 * slow reader holds the server back. Whoever reads too slowly for the server (10 minutes between batches) or not at all
 * (`idleTimeout`) finds the stream closed.
 */
import type { AbstractCursor, Db } from 'mongodb'
import { onAbort } from '../../core/abort.ts'
import type { Timer } from '../../core/clock.ts'
import { parseDuration, type Duration } from '../../core/duration.ts'
import { invalidArgument, isSluiceError, SluiceError } from '../../core/errors.ts'
import type { CallOptions } from '../../telemetry/operate.ts'
import type { StreamOptions } from './api.ts'
import { callOptions } from './call.ts'
import { mongoError } from './client/errors.ts'
import type { DatabaseHost } from './host.ts'

const OPEN = { name: 'stream', idempotent: true }
const NEXT = { name: 'streamNext', idempotent: false }
/** The end of a cursor is a courtesy to the server, which forgets it by itself. */
const CLOSE_LIMIT_MS = 1_000

export interface StreamSource<T> {
  readonly host: DatabaseHost
  readonly name: string
  readonly options: (CallOptions & StreamOptions) | undefined
  readonly open: (
    db: Db,
    settings: { readonly batchSize: number; readonly signal: AbortSignal },
  ) => AbstractCursor<T>
}

/** Checks its options at once; opens at the first `next`. */
export function streamOf<T>(source: StreamSource<T>): AsyncGenerator<T, void, undefined> {
  const { config } = source.host
  const { batchSize = config.batchSize, idleTimeout = config.idleTimeout } = source.options ?? {}
  if (!Number.isInteger(batchSize) || batchSize < 1 || batchSize > 100_000)
    throw invalidArgument('batchSize', 'a whole number from 1 to 100000', batchSize)
  return read(new OpenStream<T>(source, batchSize, durationOf(idleTimeout)))
}

async function* read<T>(stream: OpenStream<T>): AsyncGenerator<T, void, undefined> {
  try {
    stream.begin()
    for (let batch = await stream.first(); batch.length > 0; batch = await stream.next()) {
      for (const document of batch) {
        stream.throwIfEnded()
        stream.taken += 1
        yield document
      }
    }
  } finally {
    await stream.close()
  }
}

class OpenStream<T> {
  readonly #source: StreamSource<T>
  readonly #batchSize: number
  readonly #idleMs: number
  /** Ends what the cursor waits for, and its connection with it. */
  #abort = new AbortController()
  #cursor: AbstractCursor<T> | undefined
  readonly #over = new AbortController()
  #release: (() => void) | undefined
  #idle: Timer | undefined
  /** Documents that were handed out. */
  taken = 0

  constructor(source: StreamSource<T>, batchSize: number, idleMs: number) {
    this.#source = source
    this.#batchSize = batchSize
    this.#idleMs = idleMs
  }

  begin(): void {
    const { host, options } = this.#source
    options?.signal?.throwIfAborted()
    host.streams.add(this)
    this.#release = onAbort(options?.signal, (reason) => void this.#end(reason))
    this.#watchIdle(0)
  }

  first(): Promise<readonly T[]> {
    const { host, open, options } = this.#source
    return host.single.run(
      OPEN,
      async (call) => {
        const handle = await host.handle(call.signal)
        this.throwIfEnded()
        this.#abort = new AbortController()
        const settings = { batchSize: this.#batchSize, signal: this.#abort.signal }
        this.#cursor = open(handle.db(host.database), settings)
        return this.#batch(this.#cursor, call.signal)
      },
      callOptions(options),
    )
  }

  next(): Promise<readonly T[]> {
    const { host, options } = this.#source
    return host.single.run(
      NEXT,
      (call) => {
        this.throwIfEnded()
        return this.#batch(this.#cursor!, call.signal)
      },
      callOptions(options),
    )
  }

  throwIfEnded(): void {
    this.#over.signal.throwIfAborted()
  }

  /** For the component that closes. */
  end(reason: SluiceError): Promise<void> {
    return this.#end(reason)
  }

  async close(): Promise<void> {
    const { host } = this.#source
    host.streams.delete(this)
    this.#release?.()
    this.#idle?.cancel()
    const cursor = this.#cursor
    this.#cursor = undefined
    if (cursor === undefined) return
    const over = new AbortController()
    await Promise.race([
      cursor.close().catch(() => undefined),
      host.clock.sleep(CLOSE_LIMIT_MS, { signal: over.signal }).catch(() => undefined),
    ])
    over.abort()
  }

  async #batch(cursor: AbstractCursor<T>, signal: AbortSignal): Promise<readonly T[]> {
    const { host, name } = this.#source
    const abort = this.#abort
    const release = onAbort(signal, (reason) => abort.abort(reason))
    try {
      const document = await cursor.next()
      return document === null ? [] : [document, ...cursor.readBufferedDocuments()]
    } catch (error) {
      this.throwIfEnded()
      if (signal.aborted || isSluiceError(error)) throw error
      throw mongoError(error, { component: host.component, what: `stream of ${name}`, repeatable: true })
    } finally {
      release()
    }
  }

  async #end(reason: unknown): Promise<void> {
    this.#over.abort(reason)
    this.#abort.abort(reason)
    await this.close()
  }

  #watchIdle(before: number): void {
    const { host, name } = this.#source
    this.#idle = host.clock.setTimer(
      () => {
        const { taken } = this
        if (taken !== before) {
          this.#watchIdle(taken)
          return
        }
        const { component } = host
        void this.#end(
          new SluiceError(
            'SLUICE_TIMEOUT',
            `${component}: the stream of ${name} was closed, as nothing was taken of it for ${this.#idleMs} ms`,
            {
              component,
              hint: 'Leave the loop with break where the rest is not needed, or raise idleTimeout.',
            },
          ),
        )
      },
      this.#idleMs,
      { keepAlive: false },
    )
  }
}

function durationOf(idleTimeout: Duration): number {
  const ms = parseDuration(idleTimeout)
  if (ms !== undefined && ms >= 1) return ms
  throw invalidArgument('idleTimeout', "a duration such as '60s'", idleTimeout)
}
