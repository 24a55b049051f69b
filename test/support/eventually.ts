/** For what other connections and processes do: there is no event to wait for, and it is the database that is asked. */
import { systemClock } from '../../src/core/clock.ts'

/** What `look` answers once it is something. Bounded by the test's own limit. */
export async function eventually<T>(look: () => PromiseLike<T | undefined>): Promise<T> {
  for (;;) {
    const found = await look()
    if (found !== undefined) return found
    await systemClock.sleep(10)
  }
}
