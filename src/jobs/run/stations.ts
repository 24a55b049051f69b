/** The stations of a queue in this process: those that its jobs go to, and those that only finish what they had. */
import type { Station } from './station.ts'

export class Stations {
  readonly #byName = new Map<string, Station>()
  readonly #leaving = new Set<Station>()

  get isEmpty(): boolean {
    return this.#byName.size === 0 && this.#leaving.size === 0
  }
  /** Of those that jobs go to. */
  get size(): number {
    return this.#byName.size
  }
  /** Those that are run here. */
  get jobs(): Station['job'][] {
    return [...this.#byName.values()].map(({ job }) => job)
  }
  /** Tasks that they would take now. */
  get room(): number {
    let room = 0
    for (const station of this.#byName.values()) room += station.room
    return room
  }
  get isHungry(): boolean {
    for (const station of this.#byName.values()) if (station.isHungry) return true
    return false
  }
  get load(): { readonly running: number; readonly buffered: number } {
    let running = 0
    let buffered = 0
    for (const station of this) {
      running += station.running
      buffered += station.buffered
    }
    return { running, buffered }
  }

  find(name: string): Station | undefined {
    return this.#byName.get(name)
  }

  add(station: Station): void {
    this.#byName.set(station.job.name, station)
  }

  /** No more jobs go to it; what it holds and has not begun is given back. Until `forget`. */
  retire(station: Station): void {
    const { name } = station.job
    if (this.#byName.get(name) === station) this.#byName.delete(name)
    this.#leaving.add(station)
    station.clear()
  }

  forget(station: Station): void {
    this.#leaving.delete(station)
  }

  /** Starts what there is room for. */
  pump(): void {
    for (const station of this.#byName.values()) station.pump()
  }

  /** Gives back what waits for slots that do not become free. */
  yieldHeld(now: number, delay: number): void {
    for (const station of this.#byName.values()) station.yieldHeld(now, delay)
  }

  /** Resolves when nothing runs. */
  async idle(): Promise<void> {
    await Promise.all([...this].map((station) => station.idle()))
  }

  /** Of all tasks that wait or run here. */
  *ids(): Iterable<string> {
    for (const station of this) yield* station.ids()
  }

  *[Symbol.iterator](): Iterator<Station> {
    yield* this.#byName.values()
    yield* this.#leaving
  }
}
