/** Many keys in one round trip, and commands of the caller's choice in one round trip. */
import { AsyncResult } from '../../core/async-result.ts'
import { BatchResult } from '../../core/batch-result.ts'
import { SluiceError } from '../../core/errors.ts'
import type { CallOptions, OperationSpec } from '../../telemetry/operate.ts'
import type { Redis, ValuesOf } from './api.ts'
import type { Argument, Command, Reply } from './backend.ts'
import { defineOperation, invalid, toArgument } from './commands/command.ts'
import { attempt, type Invoker } from './invoke.ts'

type Batches = Pick<Redis, 'getBatch' | 'setBatch' | 'delBatch' | 'pipeline' | 'multi'>
type Results<T> = readonly (T | SluiceError)[]

/** More than this in one go is a defect, or work for `scan` and several batches. */
const MAX_BATCH = 100_000
/** Keys of one MGET or MSET: the server does nothing else meanwhile, for a fraction of a millisecond at this size. */
const GROUP = 1_000

const GET_BATCH = defineOperation('getBatch', true)
const SET_BATCH = defineOperation('setBatch', true)
const SET_BATCH_WHEN = defineOperation('setBatch', false)
const DEL_BATCH = defineOperation('delBatch', true)
const PIPELINE = defineOperation('pipeline', true)
const PIPELINE_ONCE = defineOperation('pipeline', false)
const MULTI = defineOperation('multi', true)
const MULTI_ONCE = defineOperation('multi', false)

export function batches(invoker: Invoker, options: CallOptions | undefined): Batches {
  const { commands, key } = invoker

  /** One command for each group of items; its values, or its error, are those of the items. */
  const grouped = <T, Item>(
    spec: OperationSpec,
    items: readonly Item[],
    args: (group: readonly Item[]) => readonly Argument[],
    parse: (reply: Reply, size: number) => readonly T[],
  ): AsyncResult<Results<T>> => {
    const groups = split(items)
    const sent = groups.map((group): Command<readonly T[]> => ({
      spec,
      args: args(group),
      parse: (reply) => parse(reply, group.length),
    }))
    return invoker.sendMany(
      spec,
      sent,
      (results) =>
        results.flatMap((result, at): Results<T> => {
          const size = (groups[at] as readonly Item[]).length
          return result instanceof SluiceError ? filled(size, result) : result
        }),
      options,
    )
  }

  const getBatch: Batches['getBatch'] = (keys) =>
    batch(keys.length, () =>
      grouped<string | null, string>(
        GET_BATCH,
        keys,
        (group) => ['MGET', ...group.map(key)],
        (reply) => reply as readonly (string | null)[],
      ),
    )

  const setBatch: Batches['setBatch'] = (entries, set = {}) => {
    const pairs = Object.entries(entries)
    return batch(pairs.length, () => {
      if (Object.values(set).every((option) => option === undefined)) {
        return grouped(
          SET_BATCH,
          pairs,
          (group) => [
            'MSET',
            ...group.flatMap(([name, value]) => [key(name), toArgument(value, 'setBatch value')]),
          ],
          (_reply, size) => filled(size, true),
        )
      }
      // MSET knows no options: one SET for each, in the same round trip.
      return invoker.sendMany(
        set.when === undefined ? SET_BATCH : SET_BATCH_WHEN,
        pairs.map(([name, value]) => commands.set(name, value, set)),
        asTheyAre,
        options,
      )
    })
  }

  const delBatch: Batches['delBatch'] = (keys) =>
    batch(keys.length, () =>
      invoker.sendMany(
        DEL_BATCH,
        keys.map((name) => ({ ...commands.del(name), parse: (reply: Reply) => reply === 1 })),
        asTheyAre,
        options,
      ),
    )

  const pipeline: Batches['pipeline'] = <const C extends readonly Command<unknown>[]>(
    build: (commands: Invoker['commands']) => C,
  ) => {
    const list = build(commands) as readonly Command<ValuesOf<C>[number]>[]
    return batch<ValuesOf<C>[number]>(list.length, () =>
      invoker.sendMany(repeatable(list) ? PIPELINE : PIPELINE_ONCE, list, asTheyAre, options),
    )
  }

  const multi: Batches['multi'] = <const C extends readonly Command<unknown>[]>(
    build: (commands: Invoker['commands']) => C,
  ) =>
    attempt(() => {
      const list = build(commands)
      if (list.length === 0 || list.length > MAX_BATCH) {
        throw invalid(`multi: expected 1 to ${MAX_BATCH} commands, got ${list.length}`)
      }
      return invoker.sendMany(repeatable(list) ? MULTI : MULTI_ONCE, list, allOrError<ValuesOf<C>>, {
        ...options,
        atomic: true,
      })
    })

  return { getBatch, setBatch, delBatch, pipeline, multi }
}

function batch<T>(size: number, start: () => AsyncResult<Results<T>>): BatchResult<T> {
  return BatchResult.ofWhole(
    attempt(() => {
      if (size > MAX_BATCH) throw invalid(`a batch: expected at most ${MAX_BATCH} parts, got ${size}`)
      return size === 0 ? AsyncResult.resolve<Results<T>>([]) : start()
    }),
    size,
  )
}

function allOrError<Values>(results: Results<unknown>): Values {
  for (const [index, result] of results.entries()) {
    if (!(result instanceof SluiceError)) continue
    throw new SluiceError(result.code, `command ${index} of a transaction failed: ${result.message}`, {
      cause: result,
      details: { ...result.details, index },
    })
  }
  return results as Values
}

/** A round trip may be repeated when each of its parts may. */
const repeatable = (list: readonly Command<unknown>[]): boolean =>
  list.every((command) => command.spec.idempotent)
const asTheyAre = <T>(results: T): T => results
const filled = <T>(size: number, value: T): readonly T[] => Array.from({ length: size }, () => value)

function split<Item>(items: readonly Item[]): readonly (readonly Item[])[] {
  const groups: (readonly Item[])[] = []
  for (let at = 0; at < items.length; at += GROUP) groups.push(items.slice(at, at + GROUP))
  return groups
}
