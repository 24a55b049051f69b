/** The prepared statements of one connection: made from a text's second use on, the oldest forgotten first. */
import type { DriverClient } from './driver.ts'
import type { Statement } from './statement.ts'

/** Kept on one connection; the server pays some 10 KB for each. */
const MAX_PREPARED = 200

export class Prepared {
  readonly #client: DriverClient
  readonly #enabled: boolean
  readonly #names = new Set<string>()

  constructor(client: DriverClient, enabled: boolean) {
    this.#client = client
    this.#enabled = enabled
  }

  /** The name that `statement` is sent under; undefined where it is not prepared. */
  nameFor(statement: Statement): string | undefined {
    if (!this.#enabled || statement.uses++ === 0) return undefined
    if (this.#names.has(statement.name)) return statement.name
    this.#names.add(statement.name)
    if (this.#names.size > MAX_PREPARED) {
      for (const oldest of this.#names) {
        this.forget(oldest)
        break
      }
    }
    return statement.name
  }

  forget(name: string): void {
    this.#names.delete(name)
    const { connection } = this.#client
    delete connection.parsedStatements[name]
    connection.close({ type: 'S', name })
  }
}

/** The plan of a prepared statement no longer fits the table (0A000), or the server does not know its name (26000). */
export function isStalePlan(state: string, error: Error): boolean {
  if (state === '26000') return true
  return state === '0A000' && (error as { readonly routine?: unknown }).routine === 'RevalidateCachedQuery'
}
