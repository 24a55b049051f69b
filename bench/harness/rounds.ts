/**
 * Interleaved rounds: each round measures every subject once, in an order that turns by one, so that a slow minute of the
 * machine, a warm cache or a grown heap meets all of them alike. The median is taken, which one disturbed round cannot move.
 *
 * A quick run ends in time on a busy machine too, as far as one round of each does: it leaves out what would end too late,
 * warming up included.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { RoundOptions, Row, Subject } from './benchmark.ts'

setFlagsFromString('--expose-gc')
/** Of 45 s, less what is left to do after the rounds. */
const QUICK_LIMIT_MS = 36_000

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
  // Times since the start of the process.
  let roundMs = 0
  const isLate = (): boolean => quick && performance.now() + roundMs > QUICK_LIMIT_MS
  for (let round = isLate() ? 0 : -warmUp; round < counted; round += 1) {
    const began = performance.now()
    for (let turn = 0; turn < subjects.length; turn += 1) {
      const subject = subjects[(turn + round + warmUp) % subjects.length] as Subject
      collectGarbage()
      const value = await subject.measure()
      if (round >= 0) values.get(subject)?.push(value)
    }
    roundMs = performance.now() - began
    if (!isLate()) continue
    if (round >= 0) {
      if (round + 1 < counted) note(round + 1, counted)
      break
    }
    // The next one counts.
    round = -1
  }
  return subjects.map((subject) => ({
    subject: subject.name,
    value: Number(median(values.get(subject) ?? []).toPrecision(4)),
    unit: subject.unit,
  }))
}

function note(measured: number, planned: number): void {
  process.stderr.write(`the machine is busy: ${measured} of ${planned} rounds were measured\n`)
}

export function median(values: readonly number[]): number {
  if (values.length === 0) throw new Error('no values')
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] as number
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2
}

/** The value that this share (0 to 1) of them do not exceed, by nearest rank; NaN of none. */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}
