/** The sink on Redis: sessions of the lease, batches by the writer, loads by units of their own. */
import { waitOrAbort } from '../../../core/abort.ts'
import { SluiceError } from '../../../core/errors.ts'
import type {
  Applied,
  Batch,
  DeadLetter,
  LaneSpec,
  OpenOptions,
  PartContext,
  Sink,
  SinkState,
  StreamId,
} from '../../contract.ts'
import { compareStreamIds } from '../../stream-id.ts'
import type { LaneState } from './lease.ts'
import { orderKey } from './order-key.ts'
import type { Answer } from './runner.ts'
import { Session, type SessionSettings } from './session.ts'
import { Writer, type WriterSettings } from './writer.ts'

export type RedisSinkSettings = SessionSettings & WriterSettings

/** Entities looked at in one step of the removal after a load. */
const PRUNE_STEP = 500

export class RedisSink implements Sink {
  readonly kind = 'redis'
  readonly readsData: boolean
  readonly #context: PartContext
  readonly #settings: RedisSinkSettings
  readonly #lanes: ReadonlyMap<string, LaneSpec>
  readonly #writer: Writer
  #session: Session | undefined

  constructor(context: PartContext, settings: RedisSinkSettings) {
    this.#context = context
    this.#settings = settings
    this.#lanes = new Map(context.lanes.map((lane) => [lane.name, lane]))
    this.#writer = new Writer(context, settings)
    this.readsData = context.lanes.some(({ lookups }) => lookups !== undefined)
  }

  async open(options: OpenOptions): Promise<SinkState> {
    const { lanes, signal } = options
    await this.#end()
    signal.throwIfAborted()
    await waitOrAbort(this.#settings.runner.prepare(), signal)
    const session = new Session(this.#context, this.#settings)
    this.#session = session
    try {
      await session.take(
        lanes.map((name) => this.#lane(name)),
        options,
      )
    } catch (error) {
      await this.#end()
      throw error
    }
    return stateOf(session.states)
  }

  async apply(batch: Batch, signal: AbortSignal): Promise<Applied> {
    signal.throwIfAborted()
    return this.#writer.apply(this.#open().lease(batch.lane), batch, signal)
  }

  async beginLoad(load: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    await this.#open().each(signal, async (lease) => {
      const [, mark] = await lease.run('begin_load', [load])
      lease.mark = String(mark)
    })
  }

  async finishLoad(
    load: string,
    before: StreamId,
    { signal, progress }: { readonly signal: AbortSignal; readonly progress: (scanned: number) => void },
  ): Promise<{ readonly removed: number }> {
    signal.throwIfAborted()
    const session = this.#open()
    let scanned = 0
    let removed = 0
    await session.each(signal, async (lease) => {
      for (let position = '0'; ;) {
        const args = [load, position, orderKey(before), String(PRUNE_STEP)]
        const answer = ofLoad(await waitOrAbort(lease.run('prune', args), signal), load)
        position = String(answer[1])
        removed += Number(answer[3])
        progress((scanned += Number(answer[2])))
        if (position === '0') return
      }
    })
    // Only when every lane is through: the marker says so of all of them.
    await session.each(signal, async (lease) => void ofLoad(await lease.run('finish_load', [load]), load))
    return { removed }
  }

  async check(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    await this.#open().each(signal, (lease) => lease.run('check', []))
  }

  async deadLetters(limit: number, signal: AbortSignal): Promise<readonly DeadLetter[]> {
    const { runner, keys } = this.#settings
    const lists = await waitOrAbort(
      Promise.all(
        [...this.#lanes.keys()].map((lane) => runner.run('dead_letters', keys.base(lane), [String(limit)])),
      ),
      signal,
    )
    return lists
      .flat()
      .filter((text) => typeof text === 'string')
      .map((text) => JSON.parse(text) as DeadLetter)
      .sort((a, b) => b.timeMs - a.timeMs)
      .slice(0, limit)
  }

  async close(signal: AbortSignal): Promise<void> {
    await waitOrAbort(this.#end(), signal).catch(() => undefined)
  }

  inspect(): Readonly<Record<string, unknown>> {
    return {
      runs: this.#settings.singly ? 'single' : this.#settings.runner.mode,
      held: this.#session?.held ?? [],
      units: this.#writer.units,
      refusedUnits: this.#writer.refusedUnits,
    }
  }

  async #end(): Promise<void> {
    const session = this.#session
    this.#session = undefined
    await session?.end()
  }

  #open(): Session {
    if (this.#session !== undefined) return this.#session
    throw new SluiceError('SLUICE_NOT_READY', `${this.#context.name}: the sink is not open`, {
      retryable: true,
    })
  }

  #lane(name: string): LaneSpec {
    const lane = this.#lanes.get(name)
    if (lane !== undefined) return lane
    throw new SluiceError('SLUICE_INVALID_ARGUMENT', `lane: expected ${[...this.#lanes.keys()].join(', ')}`)
  }
}

function stateOf(states: readonly LaneState[]): SinkState {
  const [first] = states
  const cursors = states.flatMap(({ cursor }) => (cursor === undefined ? [] : [cursor]))
  return {
    cursor: cursors.length < states.length ? undefined : cursors.sort(compareStreamIds)[0],
    load: states.every(({ ready }) => ready === first?.ready) ? first?.ready : undefined,
  }
}

function ofLoad(answer: Answer, load: string): Answer {
  if (answer[0] !== -5) return answer
  throw new SluiceError('SLUICE_CONFLICT', `the load "${load}" is not the one that is under way`)
}
