/**
 * One reading of the whole data set, beside the live stream.
 *
 *     begin  readiness is taken away, before anything else; from here on what is stored belongs to the load
 *     pages  rows go through the lanes as messages do, so that the order of a key holds; a newer state stays
 *     store  until every row is in the store
 *     end    what does not belong to the load and is not newer is removed; then the marker of the load is stored
 *
 * Rows have half of a lane's bounds for themselves, beyond what the stream may fill.
 */
import { randomBytes } from 'node:crypto'
import { backoffMs } from '../core/backoff.ts'
import { hasCode, SluiceError, toError } from '../core/errors.ts'
import type { Loader, Page, PartContext, Sink } from './contract.ts'
import type { Lane } from './lanes/lane.ts'
import type { Lanes } from './lanes/lanes.ts'
import { isAfter, STREAM_START, streamIdText, type StreamId } from './stream-id.ts'

export interface LoadProgress {
  readonly load: string
  readonly reason: string
  phase: 'begin' | 'pages' | 'store' | 'end'
  lane: string | undefined
  pages: number
  rows: number
  /** Of all lanes whose first page has come, where the loader says so. */
  total: number | undefined
  /** Looked at for the removal. */
  scanned: number
  readonly startedMs: number
}

export interface LoadOptions {
  readonly context: PartContext
  readonly lanes: Lanes
  readonly sink: Sink
  /** Undefined where there is none: then the stream must hold everything. */
  readonly loader: Loader | undefined
  /** The live stream has everything after this. */
  readonly from: StreamId
  readonly reason: string
  readonly onProgress: (progress: LoadProgress) => void
  readonly signal: AbortSignal
}

export interface LoadResult {
  readonly load: string
  readonly rows: number
  readonly removed: number
  readonly durationMs: number
}

const BACKOFF = { baseMs: 250, capMs: 30_000 }
const STEP_BACKOFF = { baseMs: 50, capMs: 2_000 }
/** Rows that a lane holds at most, as a share of its bounds and beyond them. */
const ROWS_SHARE = 0.5

/** Loads, beginning anew for as long as it fails. Rejects when aborted, with SLUICE_LEASE_LOST, and where it is impossible. */
export async function runLoad(options: LoadOptions): Promise<LoadResult> {
  const { context, signal } = options
  for (let attempt = 1; ; attempt++) {
    try {
      return await loadOnce(options)
    } catch (error) {
      signal.throwIfAborted()
      if (hasCode(error, 'SLUICE_LEASE_LOST') || hasCode(error, 'SLUICE_UNSUPPORTED')) throw error
      context.log.warn({ err: toError(error), attempt }, `${context.name}: a load failed and begins anew`)
      await context.clock.sleep(backoffMs(attempt, context.random(), BACKOFF), { signal })
    }
  }
}

async function loadOnce(options: LoadOptions): Promise<LoadResult> {
  const { context, lanes, sink, loader, from, reason, onProgress, signal } = options
  const { clock } = context
  if (loader === undefined && isAfter(from, STREAM_START)) {
    throw new SluiceError(
      'SLUICE_UNSUPPORTED',
      `${context.name}: a load is needed (${reason}) and there is no loader`,
      {
        hint: 'Set replicator.bulk_url, or hand a loader to replicator().',
      },
    )
  }
  const startedMs = clock.monotonic()
  const progress: LoadProgress = {
    load: `${clock.now()}-${randomBytes(4).toString('hex')}`,
    reason,
    phase: 'begin',
    lane: undefined,
    pages: 0,
    rows: 0,
    total: undefined,
    scanned: 0,
    startedMs,
  }
  onProgress(progress)
  const { load } = progress
  // What is under way does not belong to the load yet, and a load must not begin in the middle of it.
  await lanes.hold(signal)
  try {
    await persist(context, signal, (step) => sink.beginLoad(load, step))
    lanes.load = load
  } finally {
    if (!signal.aborted) lanes.release()
  }
  progress.phase = 'pages'
  let before: StreamId | undefined
  if (loader !== undefined) {
    const names = lanes.lanes.map(({ spec }) => spec.name)
    for await (const page of loader.pages(names, signal)) {
      checkPage(context, page, from)
      if (before === undefined || isAfter(before, page.at)) before = page.at
      if (page.lane !== progress.lane && page.total !== undefined)
        progress.total = (progress.total ?? 0) + page.total
      progress.lane = page.lane
      await takeRows(lanes, page, progress, signal)
      progress.pages += 1
      onProgress(progress)
    }
  }
  progress.phase = 'store'
  progress.lane = undefined
  onProgress(progress)
  await lanes.until(() => lanes.lanes.every(({ rowsHeld }) => rowsHeld === 0), signal)
  progress.phase = 'end'
  onProgress(progress)
  const { removed } = await persist(context, signal, (step) =>
    sink.finishLoad(load, before ?? STREAM_START, {
      signal: step,
      progress: (scanned) => {
        progress.scanned = scanned
        onProgress(progress)
      },
    }),
  )
  signal.throwIfAborted()
  lanes.load = undefined
  return { load, rows: progress.rows, removed, durationMs: clock.monotonic() - startedMs }
}

async function takeRows(
  lanes: Lanes,
  page: Page,
  progress: LoadProgress,
  signal: AbortSignal,
): Promise<void> {
  const lane = lanes.lane(page.lane)
  if (lane === undefined)
    throw new SluiceError('SLUICE_INVALID_DATA', `a page is of "${page.lane}", which is no lane`)
  for (const { id, json, data } of page.rows) {
    if (!hasRoom(lane)) await lanes.until(() => hasRoom(lane), signal)
    lane.receiveRow(id, json, data, page.at, lanes.turn())
    progress.rows += 1
  }
}

/** Rows have a share of their own, so that a stream that fills its lanes cannot keep a load from ending. */
function hasRoom(lane: Lane): boolean {
  const { maxChanges, maxBytes } = lane.limits
  return (
    lane.rowsHeld === 0 ||
    (lane.rowsHeld < maxChanges * ROWS_SHARE && lane.heldBytes < maxBytes * (1 + ROWS_SHARE))
  )
}

/** Between the state of a page and the start of the stream nothing may be missing. */
function checkPage(context: PartContext, page: Page, from: StreamId): void {
  if (!isAfter(from, page.at)) return
  const text = `a page was taken at ${streamIdText(page.at)}, before the stream begins (${streamIdText(from)})`
  throw new SluiceError('SLUICE_INVALID_DATA', `${context.name}: ${text}`, { retryable: true })
}

/** A step of the sink, until it succeeds: what it does may be done twice. */
async function persist<T>(
  { clock, random, log, name }: PartContext,
  signal: AbortSignal,
  step: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await step(signal)
    } catch (error) {
      signal.throwIfAborted()
      if (hasCode(error, 'SLUICE_LEASE_LOST')) throw error
      if (attempt === 1)
        log.warn({ err: toError(error) }, `${name}: a step of a load failed and is tried again`)
      await clock.sleep(backoffMs(attempt, random(), STEP_BACKOFF), { signal })
    }
  }
}
