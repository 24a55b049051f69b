/** Many things are written at once: one that the database refuses must not hold up those beside it for ever. */
import { toError } from '../../core/errors.ts'
import { isRefusal } from '../refusal.ts'

/**
 * `write` of all, in their order; where the database refuses what is in them, of one half and then the other, down to the
 * one that it refuses, of which `instead` is written. Each other failure rejects: it may be over the next time.
 */
export async function writeApart<Item, Answer>(
  items: readonly Item[],
  write: (items: readonly Item[]) => PromiseLike<Answer>,
  instead: (item: Item, error: Error) => PromiseLike<Answer>,
): Promise<readonly Answer[]> {
  try {
    return [await write(items)]
  } catch (error) {
    const [first] = items
    if (first === undefined || !isRefusal(error)) throw error
    if (items.length === 1) return [await instead(first, toError(error))]
    const half = Math.ceil(items.length / 2)
    const before = await writeApart(items.slice(0, half), write, instead)
    return [...before, ...(await writeApart(items.slice(half), write, instead))]
  }
}
