/**
 * The whole data set over HTTP, page by page.
 *
 *     GET <url>?entity_type=company&limit=1000[&cursor=<next of the page before>]
 *     200 { "stream_id": "1700000000000-0", "total": 120000, "rows": [{ "entity_id": "c1", "data": {…} }, …], "next": "…" | null }
 *
 * Each row has at least the effects of all messages up to `stream_id`. A page is tried again, with back-off, after 408,
 * 429, 5xx and what the network does; anything else ends the load, which is begun anew from its first page.
 */
import { waitOrAbort } from '../../core/abort.ts'
import { backoffMs } from '../../core/backoff.ts'
import { durationMs, type Duration } from '../../core/duration.ts'
import { invalidArgument, isSluiceError, SluiceError, toError } from '../../core/errors.ts'
import { redactUrl } from '../../config/redact.ts'
import type { EntityData, Loader, LoaderFactory, Page, PartContext, Row } from '../contract.ts'
import { parseSize } from '../options.ts'
import { parseStreamId } from '../stream-id.ts'
import { MAX_ID_LENGTH } from '../websocket/entity-frame.ts'

/** Options of `httpLoader`. Durations are milliseconds or text such as `'5s'`. */
export interface HttpLoaderOptions {
  /** `http://` or `https://`. */
  readonly url: string
  /** @default none */
  readonly apiKey?: string | undefined
  /** @default 'x-api-key' */
  readonly apiKeyHeader?: string
  /** @default none */
  readonly headers?: Readonly<Record<string, string>>
  /** Rows of a page, 1 to 100000. @default 1000 */
  readonly pageSize?: number
  /** Limit of one page, its body included. @default '30s' */
  readonly timeout?: Duration
  /** Largest body of a page. @default '32mb' */
  readonly maxPageBytes?: number | string
  /** Attempts of a page before the load is given up and begun anew. @default 6 */
  readonly attempts?: number
}

const BACKOFF = { baseMs: 250, capMs: 10_000 }
const MAX_PAGE_SIZE = 100_000
/** A lane of more pages than this does not end: its `next` goes round in a circle. */
const MAX_PAGES = 1_000_000

/** A loader of pages over HTTP. Throws SLUICE_INVALID_ARGUMENT. */
export function httpLoader(options: HttpLoaderOptions): LoaderFactory {
  const settings = checked(options)
  return (context) => new HttpLoader(settings, context)
}

type Settings = ReturnType<typeof checked>

function checked(options: HttpLoaderOptions) {
  const { url, apiKey, apiKeyHeader = 'x-api-key', headers = {}, pageSize = 1_000, attempts = 6 } = options
  if (!/^https?:\/\//.test(url) || !URL.canParse(url)) {
    throw invalidArgument(
      'loader.url',
      "a URL that begins with 'http://' or 'https://'",
      redactUrl(String(url)),
    )
  }
  if (!Number.isInteger(pageSize) || pageSize < 1 || pageSize > MAX_PAGE_SIZE)
    throw invalidArgument('loader.pageSize', `a whole number from 1 to ${MAX_PAGE_SIZE}`, pageSize)
  if (!Number.isInteger(attempts) || attempts < 1 || attempts > 100)
    throw invalidArgument('loader.attempts', 'a whole number from 1 to 100', attempts)
  return {
    url,
    shownUrl: redactUrl(url),
    headers: { ...headers, ...(apiKey === undefined ? {} : { [apiKeyHeader]: apiKey }) },
    pageSize,
    attempts,
    timeoutMs: durationMs(options.timeout ?? '30s', 'loader.timeout'),
    maxPageBytes: parseSize(options.maxPageBytes ?? '32mb', 'loader.maxPageBytes'),
  }
}

class HttpLoader implements Loader {
  readonly kind = 'http'
  readonly #settings: Settings
  readonly #context: PartContext

  constructor(settings: Settings, context: PartContext) {
    this.#settings = settings
    this.#context = context
  }

  async *pages(lanes: readonly string[], signal: AbortSignal): AsyncGenerator<Page, void, undefined> {
    for (const lane of lanes) {
      let cursor: string | undefined
      for (let count = 0; ; count++) {
        if (count === MAX_PAGES) throw this.#wrong(lane, `more than ${MAX_PAGES} pages`)
        const { page, next } = await this.#page(lane, cursor, signal)
        yield page
        if (next === undefined) break
        cursor = next
      }
    }
  }

  async #page(lane: string, cursor: string | undefined, signal: AbortSignal) {
    const { attempts } = this.#settings
    const { clock, random, log, name } = this.#context
    for (let attempt = 1; ; attempt++) {
      try {
        return this.#read(lane, cursor, await this.#fetch(lane, cursor, signal))
      } catch (error) {
        signal.throwIfAborted()
        if (attempt >= attempts || (isSluiceError(error) && !error.retryable)) throw error
        log.warn({ err: toError(error), lane, attempt }, `${name}: a page could not be loaded`)
        await clock.sleep(backoffMs(attempt, random(), BACKOFF), { signal })
      }
    }
  }

  async #fetch(lane: string, cursor: string | undefined, signal: AbortSignal): Promise<string> {
    const { url, shownUrl, headers, pageSize, timeoutMs } = this.#settings
    const address = new URL(url)
    address.searchParams.set('entity_type', lane)
    address.searchParams.set('limit', String(pageSize))
    if (cursor !== undefined) address.searchParams.set('cursor', cursor)
    const limit = AbortSignal.timeout(timeoutMs)
    const both = AbortSignal.any([limit, signal])
    try {
      const response = await fetch(address, { headers, signal: both, redirect: 'error' })
      if (!response.ok) {
        await response.body?.cancel()
        throw this.#refused(lane, response.status)
      }
      return await waitOrAbort(this.#body(lane, response), both)
    } catch (error) {
      if (isSluiceError(error)) throw error
      signal.throwIfAborted()
      const why = limit.aborted ? `took longer than ${timeoutMs} ms` : causeOf(error)
      throw new SluiceError('SLUICE_UNAVAILABLE', `the loader ${shownUrl} (${lane}): ${why}`, {
        retryable: true,
        cause: error,
      })
    }
  }

  /** Read piece by piece, so that a body without end is noticed before it fills the memory. */
  async #body(lane: string, response: Response): Promise<string> {
    const { maxPageBytes } = this.#settings
    const parts: Uint8Array[] = []
    let bytes = 0
    for await (const part of response.body ?? []) {
      bytes += part.byteLength
      if (bytes > maxPageBytes) throw this.#wrong(lane, `a page is larger than ${maxPageBytes} bytes`)
      parts.push(part)
    }
    return Buffer.concat(parts).toString('utf8')
  }

  #read(lane: string, cursor: string | undefined, text: string) {
    let body: unknown
    try {
      body = JSON.parse(text)
    } catch {
      throw this.#wrong(lane, 'a page is not JSON', true)
    }
    const { stream_id: id, rows, total, next } = (body ?? {}) as Readonly<Record<string, unknown>>
    const at = parseStreamId(id)
    if (at === undefined) throw this.#wrong(lane, 'stream_id of a page is not of the form ms-seq')
    if (!Array.isArray(rows)) throw this.#wrong(lane, 'rows of a page is not an array')
    const following = typeof next === 'string' && next !== '' ? next : undefined
    if (following !== undefined && following === cursor)
      throw this.#wrong(lane, 'next of a page is the page itself')
    const page: Page = {
      lane,
      at,
      rows: (rows as unknown[]).map((row) => this.#row(lane, row)),
      total: typeof total === 'number' ? total : undefined,
    }
    return { page, next: following }
  }

  #row(lane: string, row: unknown): Row {
    const { entity_id: id, data } = (row ?? {}) as Readonly<Record<string, unknown>>
    if (typeof id !== 'string' || id === '' || id.length > MAX_ID_LENGTH)
      throw this.#wrong(lane, `entity_id of a row is not a text of 1 to ${MAX_ID_LENGTH} characters`)
    if (typeof data !== 'object' || data === null || Array.isArray(data))
      throw this.#wrong(lane, 'data of a row is not a JSON object')
    return { id, json: JSON.stringify(data), data: data as EntityData }
  }

  #refused(lane: string, status: number): SluiceError {
    const { shownUrl } = this.#settings
    const isAuth = status === 401 || status === 403
    const retryable = status === 408 || status === 429 || status >= 500
    const said = isAuth ? `refused the API key (status ${status})` : `answered with status ${status}`
    return new SluiceError(
      isAuth ? 'SLUICE_AUTH' : 'SLUICE_UNAVAILABLE',
      `the loader ${shownUrl} (${lane}) ${said}`,
      {
        retryable,
        details: { status },
      },
    )
  }

  #wrong(lane: string, what: string, retryable = false): SluiceError {
    return new SluiceError(
      'SLUICE_INVALID_DATA',
      `the loader ${this.#settings.shownUrl} (${lane}): ${what}`,
      {
        retryable,
      },
    )
  }
}

function causeOf(error: unknown): string {
  const { cause, message } = toError(error)
  return cause instanceof Error ? `${message}: ${cause.message}` : message
}
