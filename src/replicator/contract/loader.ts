/** Where the whole data set is read. */
import type { StreamId } from '../stream-id.ts'
import type { EntityData } from './changes.ts'

export interface Row {
  readonly id: string
  /** JSON text of the entity. */
  readonly json: string
  readonly data: EntityData | undefined
}

export interface Page {
  readonly lane: string
  readonly rows: readonly Row[]
  /** Every row has at least the effects of all messages up to here. */
  readonly at: StreamId
  /** How many rows the lane has in all, where the server says so: for progress. */
  readonly total: number | undefined
}

/** Reads the whole data set in pages, beside the live stream. */
export interface Loader {
  readonly kind: string
  /** Pages of all lanes, one after another; ends after the last. Retries by itself; rejects when it gives up. */
  pages(lanes: readonly string[], signal: AbortSignal): AsyncIterable<Page>
}
