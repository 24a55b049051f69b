/**
 * BatchResult: the handle of several operations started together. Each has a result of its own, at the index of its part.
 *
 * A batch that is one round trip settles as a whole, and its parts are looked at in different ways by different callers,
 * so their AsyncResults are made when somebody asks for them: a caller of `waitAll` on ten thousand keys pays for one.
 */
import { AsyncResult } from './async-result.ts'
import { isSluiceError, toError, type SluiceError } from './errors.ts'

/** One part of a batch that is done. */
export type BatchItem<T> =
  | { readonly index: number; readonly status: 'fulfilled'; readonly value: T }
  | { readonly index: number; readonly status: 'rejected'; readonly error: Error }

/** Both are as long as the batch; at each index one of them is undefined, or the value itself is. */
export interface BatchOutcome<T> {
  readonly values: readonly (T | undefined)[]
  readonly errors: readonly (Error | undefined)[]
}

/** Where the results of a batch come from. */
interface Source<T> {
  readonly size: number
  results(): readonly AsyncResult<T>[]
  waitAll(): Promise<BatchOutcome<T>>
  cancel(reason: unknown): void
}

export class BatchResult<T> implements AsyncIterable<BatchItem<T>> {
  readonly #source: Source<T>
  #results: readonly AsyncResult<T>[] | undefined

  private constructor(source: Source<T>) {
    this.#source = source
  }

  /** The batch of operations that run each for itself. */
  static of<T>(results: Iterable<AsyncResult<T>>): BatchResult<T> {
    const list = Object.freeze([...results])
    return new BatchResult<T>({
      size: list.length,
      results: () => list,
      waitAll: () => settleAll(list),
      cancel: (reason) => list.forEach((result) => result.cancel(reason)),
    })
  }

  /**
   * The batch of one operation that answers for all parts: a value or an error of sluice at each index. When the whole
   * fails, each part fails with that error.
   */
  static ofWhole<T>(whole: AsyncResult<readonly (T | SluiceError)[]>, size: number): BatchResult<T> {
    return new BatchResult<T>({
      size,
      results: () => Array.from({ length: size }, (_, index) => partOf(whole, index)),
      waitAll: () => settleWhole(whole, size),
      cancel: (reason) => void whole.cancel(reason),
    })
  }

  /** Number of parts. */
  get size(): number {
    return this.#source.size
  }

  /** The handle of each part, by index. A part that fails is reported as any other AsyncResult once it was asked for. */
  get results(): readonly AsyncResult<T>[] {
    this.#results ??= this.#source.results()
    return this.#results
  }

  /** Waits for all parts; never rejects. Values and errors stand at the index of their part. */
  waitAll(): Promise<BatchOutcome<T>> {
    return this.#source.waitAll()
  }

  /** Cancels what is not done yet. */
  cancel(reason?: unknown): void {
    this.#source.cancel(reason)
  }

  /** The parts in the order in which they are done; a failed part is an item, not a throw. Leaving early stops nothing. */
  async *[Symbol.asyncIterator](): AsyncGenerator<BatchItem<T>, void, undefined> {
    const done: BatchItem<T>[] = []
    let wake: (() => void) | undefined
    const add = (item: BatchItem<T>): void => {
      done.push(item)
      wake?.()
    }
    this.results.forEach((result, index) => {
      result.then(
        (value) => add({ index, status: 'fulfilled', value }),
        (error: unknown) => add({ index, status: 'rejected', error: toError(error) }),
      )
    })
    for (let yielded = 0; yielded < this.size; yielded += 1) {
      if (done.length <= yielded) {
        // eslint-disable-next-line no-loop-func -- one wait at a time; `add` must see the latest
        await new Promise<void>((resolve) => (wake = resolve))
      }
      yield done[yielded] as BatchItem<T>
    }
  }
}

async function settleAll<T>(results: readonly AsyncResult<T>[]): Promise<BatchOutcome<T>> {
  const settled = await Promise.allSettled(results)
  return {
    values: settled.map((part) => (part.status === 'fulfilled' ? part.value : undefined)),
    errors: settled.map((part) => (part.status === 'rejected' ? toError(part.reason) : undefined)),
  }
}

async function settleWhole<T>(
  whole: AsyncResult<readonly (T | SluiceError)[]>,
  size: number,
): Promise<BatchOutcome<T>> {
  const values: (T | undefined)[] = Array.from({ length: size })
  const errors: (Error | undefined)[] = Array.from({ length: size })
  try {
    const parts = await whole
    for (let index = 0; index < size; index += 1) {
      const part = parts[index]
      if (isSluiceError(part)) errors[index] = part
      else values[index] = part
    }
  } catch (error) {
    errors.fill(toError(error))
  }
  return { values, errors }
}

function partOf<T>(whole: AsyncResult<readonly (T | SluiceError)[]>, index: number): AsyncResult<T> {
  return new AsyncResult<T>(
    (resolve, reject) => {
      whole.then((parts) => {
        const part = parts[index]
        if (isSluiceError(part)) reject(part)
        else resolve(part as T)
      }, reject)
    },
    { name: whole.name },
  )
}
