/** Pages that are kept for those who come to the same place a little later, also those that are still being read. */
import type { Page } from './window.ts'

const MAX_KEPT = 4

export class KeptPages {
  readonly #pages = new Map<string, Promise<Page | undefined>>()

  at(place: string): Promise<Page | undefined> | undefined {
    return this.#pages.get(place)
  }

  /** One that fails, or for which it is too early, is not kept. */
  keep(place: string, page: Promise<Page | undefined>): void {
    this.#pages.set(place, page)
    const forget = (): void => {
      if (this.#pages.get(place) === page) this.#pages.delete(place)
    }
    page.then((found) => {
      if (found === undefined) forget()
    }, forget)
    for (const oldest of this.#pages.keys()) {
      if (this.#pages.size <= MAX_KEPT) break
      this.#pages.delete(oldest)
    }
  }

  /** Resolves when none is being read, and keeps none. */
  async clear(): Promise<void> {
    await Promise.allSettled(this.#pages.values())
    this.#pages.clear()
  }
}
