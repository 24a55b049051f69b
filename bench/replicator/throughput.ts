/**
 * Messages a second, and the processor time that one takes: here, in Redis and in the source.
 *
 * On two cores three processes share what there is, so that the rate is what is left of them. The times are each
 * process's own, and do not change with who else is on the machine.
 */
import { ratio, type Row, type Subject } from '../harness/benchmark.ts'
import { median } from '../harness/rounds.ts'
import { FAST, type Stage } from './stage.ts'

const PARSE = 'receive and parse alone'
const NAIVE = 'one awaited SET a message'
const PIPELINED = 'plain pipelined SETs'
const UNIFORM = 'sluice, keys alike'
const SKEWED = 'sluice, 1,000 hot keys'

const SUBJECTS = [
  { name: PARSE, kind: 'parse', share: 1, hot: 0 },
  { name: NAIVE, kind: 'naive', share: 0.05, hot: 0 },
  { name: PIPELINED, kind: 'pipelined', share: 1, hot: 0 },
  { name: UNIFORM, kind: 'ours', share: 1, hot: 0 },
  { name: SKEWED, kind: 'ours', share: 1, hot: 1_000 },
] as const

interface Times {
  readonly own: number[]
  readonly redis: number[]
  readonly source: number[]
}

export async function throughput(stage: Stage): Promise<Readonly<Record<string, number>>> {
  const { context, row, rows } = stage
  context.note('throughput')
  let saved = 0
  const times = new Map<string, Times>()
  await using own = new AsyncDisposableStack()
  const most = context.quick ? 40_000 : 400_000
  const subjects: Subject[] = []
  for (const { name, kind, share, hot } of SUBJECTS) {
    const path = hot > 0 ? '/skewed' : '/uniform'
    // With less room than a lane has keys, a stream that visits each key in turn is not conflated.
    const room = hot > 0 ? 20_000 : 4_000
    const receiver = own.use(await stage.receiver(kind, { ...FAST, path, room, keyName: path.slice(1) }))
    if (kind === 'ours') await receiver.ask({ ask: 'connect' })
    const count = Math.round(most * share)
    const all: Times = { own: [], redis: [], source: [] }
    times.set(name, all)
    subjects.push({
      name,
      unit: 'messages/s',
      async measure() {
        const before = await stage.processorTime()
        const answer = await receiver.ask({ ask: 'round', count, hot })
        const after = await stage.processorTime()
        if (hot > 0) saved = answer.saved ?? 0
        all.own.push(answer.cpuUs ?? 0)
        all.redis.push((after.redis - before.redis) / count)
        all.source.push((after.source - before.source) / count)
        return answer.value
      },
    })
  }
  rows.push(...(await context.rounds(subjects, { rounds: 7, quickRounds: 3 })))
  for (const [name, { own: mine, redis, source }] of times) {
    row(`${name}, processor time`, median(mine), 'µs/message')
    if (name !== PARSE) row(`${name}, processor time of Redis`, median(redis), 'µs/message')
    row(`${name}, processor time of the source`, median(source), 'µs/message')
  }
  row(`${SKEWED}, writes saved by conflation`, 100 * saved, '%')
  return ratios(rows)
}

function ratios(rows: readonly Row[]): Readonly<Record<string, number>> {
  return {
    applied_vs_parse: ratio(rows, UNIFORM, PARSE),
    applied_vs_naive: ratio(rows, UNIFORM, NAIVE),
    applied_vs_pipelined: ratio(rows, UNIFORM, PIPELINED),
    // Of processor time: what ours costs over what the other costs.
    cpu_vs_parse: ratio(rows, `${UNIFORM}, processor time`, `${PARSE}, processor time`),
    cpu_vs_naive: ratio(rows, `${UNIFORM}, processor time`, `${NAIVE}, processor time`),
    cpu_vs_pipelined: ratio(rows, `${UNIFORM}, processor time`, `${PIPELINED}, processor time`),
    skewed_vs_uniform: ratio(rows, SKEWED, UNIFORM),
  }
}
