/**
 * What one component of this process has to itself. Tasks and leases are the worker's, which the components on a database
 * share: two at one queue, or one subscription, would mix up what is whose.
 */
import { SluiceError } from '../core/errors.ts'

interface Holding {
  readonly owner: object
  /** While it lets go of one, it may have the next already. */
  times: number
}

export class Taken {
  readonly #all = new Map<string, Holding>()

  /** `what` is named in the error. Throws SLUICE_CONFLICT where another owner has it. */
  take(what: string, owner: object, { component, hint }: { component: string; hint: string }): void {
    const holding = this.#all.get(what)
    if (holding === undefined) this.#all.set(what, { owner, times: 1 })
    else if (holding.owner === owner) holding.times += 1
    else {
      throw new SluiceError(
        'SLUICE_CONFLICT',
        `${what} is at work in another component of this process, on the same database`,
        { component, hint },
      )
    }
  }

  /** Once for each time that it was taken. */
  leave(what: string, owner: object): void {
    const holding = this.#all.get(what)
    if (holding?.owner !== owner) return
    holding.times -= 1
    if (holding.times === 0) this.#all.delete(what)
  }
}
