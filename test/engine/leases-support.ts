/** Engines on one database, as so many processes, and what they hold of the shards of a queue. */
import { postgres, type Postgres } from '../../src/components/postgres/index.ts'
import { systemClock } from '../../src/core/clock.ts'
import { Engine } from '../../src/engine/engine.ts'
import { ShardLeases, type ShardLease } from '../../src/engine/leases.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { silentLogger } from '../../src/telemetry/log.ts'

export interface OwnEngine extends AsyncDisposable {
  readonly db: Postgres
  readonly engine: Engine
}

/** An engine with a component of its own, opened. */
export async function openEngine(dsn: string): Promise<OwnEngine> {
  const component = await connectComponent(postgres({ dsn }), { name: 'db' })
  const { api: db, metrics } = component
  const engine = new Engine({
    db,
    clock: systemClock,
    random: Math.random,
    log: silentLogger,
    metrics,
    appName: 'test',
  })
  engine.retain()
  await engine.open(AbortSignal.timeout(30_000))
  return {
    db,
    engine,
    async [Symbol.asyncDispose]() {
      await engine.release()
      await component.close()
    },
  }
}

/** Leases whose work lasts until they are drained or lost, and who says when something has changed. */
export class Holder implements AsyncDisposable {
  readonly leases: ShardLeases
  readonly taken: ShardLease[] = []
  readonly working = new Map<number, ShardLease>()
  readonly #waiting = new Set<() => void>()

  /** `finish`: settles when the work that a drained lease had under way is done. @default at once */
  constructor(engine: Engine, shards: number, finish: (lease: ShardLease) => Promise<void> = async () => {}) {
    this.leases = new ShardLeases({
      engine,
      kind: 'q',
      ref: 1,
      shards,
      work: async (lease) => {
        this.taken.push(lease)
        this.working.set(lease.shard, lease)
        this.#changed()
        await aborted(lease.draining)
        if (!lease.signal.aborted) await finish(lease)
        this.working.delete(lease.shard)
        this.#changed()
      },
    })
  }

  get shards(): readonly number[] {
    return [...this.working.keys()].toSorted((a, b) => a - b)
  }

  /** Resolves when it holds so many. */
  holds(count: number): Promise<void> {
    return this.until(() => this.working.size === count)
  }

  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) await new Promise<void>((resolve) => this.#waiting.add(resolve))
  }

  #changed(): void {
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.leases.stop()
  }
}

export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
