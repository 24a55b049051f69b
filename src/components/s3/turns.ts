/** Many calls of one batch, some at a time: each begins, and its deadline with it, when its turn has come. */
import { fail, fulfil, pendingResult, type AsyncResult, type ResultOwner } from '../../core/async-result.ts'

/** The result of each, by index. Whoever was cancelled before its turn is passed over. */
export function inTurns<Item, T>(
  name: string,
  items: readonly Item[],
  atOnce: number,
  start: (item: Item) => AsyncResult<T>,
): readonly AsyncResult<T>[] {
  const turns = items.map((item) => new Turn(name, () => start(item)))
  let next = 0
  const run = async (): Promise<void> => {
    for (let turn = turns[next++]; turn !== undefined; turn = turns[next++]) await turn.take()
  }
  for (let at = 0; at < Math.min(atOnce, turns.length); at++) void run()
  return turns.map(({ result }) => result)
}

class Turn<T> implements ResultOwner {
  readonly name: string
  readonly result: AsyncResult<T>
  readonly #start: () => AsyncResult<T>
  #started: AsyncResult<T> | undefined

  constructor(name: string, start: () => AsyncResult<T>) {
    this.name = name
    this.#start = start
    this.result = pendingResult<T>(this)
  }

  cancel(reason: unknown): void {
    this.#started?.cancel(reason)
  }

  /** Never rejects. */
  async take(): Promise<void> {
    if (this.result.isDone) return
    try {
      this.#started = this.#start()
      fulfil(this.result, await this.#started)
    } catch (error) {
      fail(this.result, error)
    }
  }
}
