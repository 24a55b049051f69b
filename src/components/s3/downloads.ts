/** Downloads: an operation until the first bytes may be read, and a place among the open bodies until the last were. */
import type { ComponentContext } from '../../app/component.ts'
import { onAbort } from '../../core/abort.ts'
import { AsyncResult } from '../../core/async-result.ts'
import { durationMs } from '../../core/duration.ts'
import { invalidArgument, toError } from '../../core/errors.ts'
import type { Call, Operations, OperationSpec } from '../../telemetry/operate.ts'
import type { DownloadOptions } from './api.ts'
import type { ByteRange } from './object.ts'
import { Body } from './body.ts'
import { Download } from './download.ts'
import type { Keys } from './keys.ts'
import { OpenBodies } from './open-bodies.ts'
import type { S3Config } from './section.ts'
import type { ObjectStore } from './store.ts'

const DOWNLOAD: OperationSpec = Object.freeze({ name: 'download', idempotent: true })

export interface DownloadParts {
  readonly context: ComponentContext<S3Config>
  readonly store: ObjectStore
  /** As many at once as bodies may be open. */
  readonly operations: Operations
}

export class Downloads {
  readonly #parts: DownloadParts
  readonly #bodies: OpenBodies

  constructor(parts: DownloadParts) {
    this.#parts = parts
    this.#bodies = new OpenBodies(parts.context.config.maxDownloads)
  }

  get facts(): Readonly<Record<string, number>> {
    return { open: this.#bodies.size, waiting: this.#parts.operations.waiting }
  }

  download(keys: Keys, key: string, options: DownloadOptions = {}): AsyncResult<Download> {
    try {
      const { operations, context } = this.#parts
      const stored = keys.toStored(key)
      const range = checkRange(options.range)
      const idleMs =
        options.idleTimeout === undefined
          ? context.config.idleTimeout
          : durationMs(options.idleTimeout, 'idleTimeout')
      return operations.run(
        DOWNLOAD,
        (call) => this.#open(key, stored, range, idleMs, call, options.signal),
        options,
      )
    } catch (error) {
      return AsyncResult.reject<Download>(error)
    }
  }

  close(reason: Error): void {
    this.#bodies.destroyAll(reason)
  }

  async #open(
    key: string,
    stored: string,
    range: ByteRange | undefined,
    idleMs: number,
    call: Call,
    signal: AbortSignal | undefined,
  ): Promise<Download> {
    const { store, context } = this.#parts
    const givePlaceBack = await this.#bodies.acquire(call.signal)
    try {
      const { info, offset, length, body: source, cut } = await store.get(stored, range, call.signal)
      const endings: (() => void)[] = []
      const body = new Body({
        component: context.name,
        source,
        length,
        idleMs,
        clock: context.clock,
        toError: (thrown) => store.bodyError(thrown),
        onDone: (complete) => {
          for (const end of endings) end()
          if (!complete) cut()
          givePlaceBack()
        },
      })
      const destroy = (reason: unknown): void => void body.destroy(toError(reason))
      endings.push(this.#bodies.add(destroy))
      // That of the call aborts only where its result was given up: nobody else would end the body then.
      endings.push(onAbort(call.signal, destroy), onAbort(signal, destroy))
      return new Download({ info: { ...info, key }, offset, length, body })
    } catch (error) {
      givePlaceBack()
      throw error
    }
  }
}

function checkRange(range: ByteRange | undefined): ByteRange | undefined {
  if (range === undefined) return undefined
  const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0
  if ('last' in range) {
    if (isCount(range.last) && range.last > 0) return range
    throw invalidArgument('range.last', 'a whole number of at least 1', range.last)
  }
  const { start, end } = range
  if (!isCount(start)) throw invalidArgument('range.start', 'a whole number of at least 0', start)
  if (end !== undefined && (!isCount(end) || end < start))
    throw invalidArgument('range.end', `a whole number of at least ${start}`, end)
  return range
}
