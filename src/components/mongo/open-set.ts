/** What is open of a kind, bounded by count, so that all of it can be closed. */
import { SluiceError } from '../../core/errors.ts'

interface Closable {
  /** Never rejects. */
  end(reason: SluiceError): Promise<void>
}

export class OpenSet {
  readonly #component: string
  readonly #what: string
  readonly #limit: number
  readonly #setting: string
  readonly #open = new Set<Closable>()

  constructor(component: string, what: string, limit: number, setting: string) {
    this.#component = component
    this.#what = what
    this.#limit = limit
    this.#setting = setting
  }

  get size(): number {
    return this.#open.size
  }

  /** @throws SluiceError SLUICE_POOL_FULL at the limit */
  add(item: Closable): void {
    if (this.#open.size >= this.#limit)
      throw new SluiceError(
        'SLUICE_POOL_FULL',
        `${this.#component}: ${this.#open.size} ${this.#what} are open already`,
        { component: this.#component, retryable: true, hint: `Close some, or raise ${this.#setting}.` },
      )
    this.#open.add(item)
  }

  delete(item: Closable): void {
    this.#open.delete(item)
  }

  async closeAll(reason: SluiceError): Promise<void> {
    await Promise.all([...this.#open].map((item) => item.end(reason)))
  }
}
