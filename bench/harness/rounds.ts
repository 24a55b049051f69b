/**
 * Interleaved rounds: each round measures every subject once, in an order that turns by one, so that a slow minute of the
 * machine, a warm cache or a grown heap meets all of them alike. The median is taken, which one disturbed round cannot move.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { RoundOptions, Row, Subject } from './benchmark.ts'

setFlagsFromString('--expose-gc')
/** All of it, in this process. */
export const collectGarbage = runInNewContext('gc') as () => void

export async function runRounds(
  subjects: readonly Subject[],
  quick: boolean,
  options: RoundOptions = {},
): Promise<readonly Row[]> {
  const { rounds = 7, quickRounds = 3, warmUp = 1 } = options
  const counted = quick ? quickRounds : rounds
  const values = new Map<Subject, number[]>(subjects.map((subject) => [subject, []]))
  for (let round = -warmUp; round < counted; round += 1) {
    for (let turn = 0; turn < subjects.length; turn += 1) {
      const subject = subjects[(turn + round + warmUp) % subjects.length] as Subject
      collectGarbage()
      const value = await subject.measure()
      if (round >= 0) values.get(subject)?.push(value)
    }
  }
  return subjects.map((subject) => ({
    subject: subject.name,
    value: Number(median(values.get(subject) ?? []).toPrecision(4)),
    unit: subject.unit,
  }))
}

export function median(values: readonly number[]): number {
  if (values.length === 0) throw new Error('no values')
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] as number
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2
}
