/**
 * The settings that the server tells of without being asked (TimeZone, DateStyle, client_encoding, …; from version 18
 * search_path, too): are they as they were when the connection was opened? It tells also of what a function changed,
 * which no text shows.
 */
import type { DriverClient } from './driver.ts'

interface Told {
  readonly parameterName: string
  readonly parameterValue: string
}

/** No statement changes it: a standby became a primary. */
const OF_SERVER = 'in_hot_standby'

export class Reported {
  readonly #first = new Map<string, string>()
  readonly #changed = new Set<string>()
  #isOpen = false

  constructor(client: DriverClient) {
    client.connection.on('parameterStatus', (told: Told) => this.#take(told))
  }

  /** What came until now is what they are. */
  opened(): void {
    this.#isOpen = true
  }

  /** One of them is another than at first. */
  get isChanged(): boolean {
    return this.#changed.size > 0
  }

  #take({ parameterName: name, parameterValue: value }: Told): void {
    if (name === OF_SERVER) return
    if (!this.#isOpen) this.#first.set(name, value)
    else if (this.#first.get(name) === value) this.#changed.delete(name)
    else this.#changed.add(name)
  }
}
