/**
 * A change stream that goes on where it was, however often it is lost.
 *
 *     opening ──▶ watching ──┬─ lost ─▶ back-off ─▶ opening, behind the last change that was handed out
 *                            ├─ invalidate ─▶ done, or opening behind it
 *                            └─ close, abort, an error that no repetition mends ─▶ done
 *
 * Order and completeness are the server's: every change once, in order, as far back as its oplog goes. A change whose
 * token was not saved when the process ended is given again, so effects must bear that. One is held in memory at a time
 * besides the batch that the server sent.
 */
import type { ChangeStream, ChangeStreamOptions, Db, Document, ResumeToken } from 'mongodb'
import { onAbort, waitOrAbort } from '../../core/abort.ts'
import { backoffMs } from '../../core/backoff.ts'
import { parseDuration } from '../../core/duration.ts'
import { invalidArgument, isSluiceError, SluiceError, toError } from '../../core/errors.ts'
import type { ChangeFeed, WatchOptions } from './api.ts'
import { hasLabel, mongoError } from './client/errors.ts'
import type { DatabaseHost } from './host.ts'
import { TokenSaver } from './token-saver.ts'

const WATCH = Object.freeze({ name: 'watch', idempotent: false })
/** How long the server waits for a change before it says that there is none. */
const MAX_AWAIT_MS = 1_000
const BACKOFF = { baseMs: 100, capMs: 5_000 } as const
const CLOSE_LIMIT_MS = 1_000

type Change = Document & { readonly _id: ResumeToken; readonly operationType?: string }
type RawStream = ChangeStream<Document, never>

interface Opened {
  readonly stream: RawStream
  /** Ends what it waits for, and the connection with it. */
  readonly abort: AbortController
}

export interface FeedSource {
  readonly host: DatabaseHost
  readonly name: string
  readonly options: WatchOptions | undefined
  readonly open: (db: Db, pipeline: Document[], settings: ChangeStreamOptions) => RawStream
}

/** Begins to watch at once. */
export function openFeed<C>(source: FeedSource): ChangeFeed<C> {
  const saveMs = parseDuration(source.options?.saveInterval ?? '1s')
  if (saveMs === undefined)
    throw invalidArgument('saveInterval', "a duration such as '1s'", source.options?.saveInterval)
  return new Feed(source, saveMs) as unknown as ChangeFeed<C>
}

class Feed implements ChangeFeed<Change> {
  readonly #source: FeedSource
  readonly #saver: TokenSaver
  readonly #stop = new AbortController()
  readonly #changes: AsyncGenerator<Change, undefined, undefined>
  readonly #ready = Promise.withResolvers<void>()
  readonly #release: () => void
  #token: ResumeToken
  /** `startAfter` goes on behind an invalidate, which `resumeAfter` refuses. */
  #afterInvalidate = false
  #resumed = 0
  /** Came with the first answer. */
  #pending: Change | null = null
  #first: Promise<Opened> | undefined
  #complained = false

  constructor(source: FeedSource, saveMs: number) {
    const { host, options } = source
    this.#source = source
    this.#saver = new TokenSaver({ host, name: source.name, store: options?.store, intervalMs: saveMs })
    this.#token = options?.resumeAfter
    this.#ready.promise.catch(() => undefined)
    options?.signal?.throwIfAborted()
    host.watches.add(this)
    this.#release = onAbort(options?.signal, (reason) => void this.#end(reason))
    this.#changes = this.#read()
    this.#first = this.#openFirst()
    this.#first.catch(() => undefined)
  }

  get ready(): Promise<void> {
    return this.#ready.promise
  }

  get resumeToken(): ResumeToken {
    return this.#token
  }

  get resumed(): number {
    return this.#resumed
  }

  next(): Promise<IteratorResult<Change, undefined>> {
    // Whoever asks for the next one is done with the one before.
    this.#saver.reached(this.#token)
    return this.#changes.next()
  }

  async return(): Promise<IteratorResult<Change, undefined>> {
    await this.close()
    return { done: true, value: undefined }
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async close(): Promise<void> {
    const { component } = this.#source.host
    await this.#end(
      new SluiceError('SLUICE_CLOSED', `${component}: the change stream was closed`, { component }),
    )
  }

  /** For the component that closes. */
  end(reason: SluiceError): Promise<void> {
    return this.#end(reason)
  }

  async #end(reason: unknown): Promise<void> {
    this.#stop.abort(reason)
    this.#source.host.watches.delete(this)
    this.#release()
    this.#ready.reject(reason)
    const first = this.#first
    this.#first = undefined
    // The generator closes what it reads of; before it began, that is here.
    if (first !== undefined) await first.then((stream) => this.#drop(stream)).catch(() => undefined)
    await this.#changes.return(undefined).catch(() => undefined)
    await this.#saver.flush().catch(() => undefined)
  }

  async #openFirst(): Promise<Opened> {
    try {
      const stored = await this.#saver.load()
      if (stored !== undefined) this.#token = stored
      return await this.#openUntil(0)
    } catch (error) {
      this.#ready.reject(error)
      throw error
    }
  }

  async *#read(): AsyncGenerator<Change, undefined, undefined> {
    const { signal } = this.#stop
    let failures = 0
    let stream: Opened | undefined
    try {
      stream = await this.#first
      this.#first = undefined
      for (;;) {
        if (stream === undefined) return undefined
        let change: Change | null
        try {
          change = await this.#next(stream)
          failures = 0
        } catch (error) {
          await this.#drop(stream)
          stream = undefined
          if (signal.aborted || !mayGoOn(error)) throw error
          failures += 1
          this.#resumed += 1
          this.#say(error)
          stream = await this.#openUntil(failures)
          continue
        }
        if (change === null) {
          // All was handed out, and whoever asked is done with it: the server's own place is ahead of the last change.
          this.#token = stream.stream.resumeToken ?? this.#token
          this.#saver.reached(this.#token)
          continue
        }
        this.#token = change._id
        this.#afterInvalidate = change.operationType === 'invalidate'
        yield change
        if (!this.#afterInvalidate) continue
        if (this.#source.options?.onInvalidate !== 'restart') return undefined
        await this.#drop(stream)
        stream = await this.#openUntil(0)
      }
    } catch (error) {
      // Whoever closed it knows.
      if (signal.aborted && isSluiceError(signal.reason) && signal.reason.code === 'SLUICE_CLOSED')
        return undefined
      throw signal.aborted ? signal.reason : error
    } finally {
      if (stream !== undefined) await this.#drop(stream)
      this.#source.host.watches.delete(this)
      this.#release()
    }
  }

  /** Tries for ever, with back-off, what may go better. */
  async #openUntil(failures: number): Promise<Opened> {
    const { host } = this.#source
    const { signal } = this.#stop
    for (let attempt = failures; ; attempt++) {
      if (attempt > 0)
        await host.clock.sleep(backoffMs(attempt, host.random(), BACKOFF), { signal, keepAlive: false })
      let stream: Opened | undefined
      try {
        stream = await this.#open()
        // The first answer says that the server watches; a change may have come with it.
        this.#pending = await this.#ask(stream)
        this.#ready.resolve()
        this.#complained = false
        return stream
      } catch (error) {
        if (stream !== undefined) await this.#drop(stream)
        if (signal.aborted || !mayGoOn(error)) throw error
        this.#say(error)
      }
    }
  }

  async #open(): Promise<Opened> {
    const { host, open, options = {} } = this.#source
    const handle = await waitOrAbort(Promise.resolve(host.handle(this.#stop.signal)), this.#stop.signal)
    const abort = new AbortController()
    const { collation, comment, fullDocument, fullDocumentBeforeChange, showExpandedEvents } = options
    const settings: ChangeStreamOptions & { readonly signal: AbortSignal } = {
      signal: abort.signal,
      maxAwaitTimeMS: MAX_AWAIT_MS,
      ...(collation !== undefined && { collation }),
      ...(comment !== undefined && { comment }),
      ...(fullDocument !== undefined && { fullDocument }),
      ...(fullDocumentBeforeChange !== undefined && { fullDocumentBeforeChange }),
      ...(showExpandedEvents !== undefined && { showExpandedEvents }),
      ...(this.#token !== undefined && {
        [this.#afterInvalidate ? 'startAfter' : 'resumeAfter']: this.#token,
      }),
    }
    return { abort, stream: open(handle.db(host.database), [...(options.pipeline ?? [])], settings) }
  }

  async #next(stream: Opened): Promise<Change | null> {
    const pending = this.#pending
    this.#pending = null
    return pending ?? (await this.#ask(stream))
  }

  #ask({ stream, abort }: Opened): Promise<Change | null> {
    const { host, name } = this.#source
    return host.watching.run(
      WATCH,
      async ({ signal }) => {
        const release = onAbort(signal, (reason) => abort.abort(reason))
        try {
          return (await stream.tryNext()) as Change | null
        } catch (error) {
          if (signal.aborted || isSluiceError(error)) throw error
          throw mongoError(error, { component: host.component, what: `watch of ${name}`, repeatable: true })
        } finally {
          release()
        }
      },
      { signal: this.#stop.signal },
    )
  }

  async #drop({ stream }: Opened): Promise<void> {
    const { clock } = this.#source.host
    const over = new AbortController()
    await Promise.race([
      stream.close().catch(() => undefined),
      clock.sleep(CLOSE_LIMIT_MS, { signal: over.signal }).catch(() => undefined),
    ])
    over.abort()
  }

  #say(thrown: unknown): void {
    if (this.#complained) return
    this.#complained = true
    const { host, name } = this.#source
    host.log.warn({ err: toError(thrown) }, `${host.component}: the change stream of ${name} is opened again`)
  }
}

/** Network, deadlines, a server that steps down, a cursor that was forgotten. */
function mayGoOn(error: unknown): boolean {
  if (!isSluiceError(error)) return false
  return error.retryable || error.code === 'SLUICE_TIMEOUT' || hasLabel(error, 'ResumableChangeStreamError')
}
