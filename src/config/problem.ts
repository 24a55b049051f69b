/** What is wrong with a configuration, collected first and told all at once. */
import { SluiceError } from '../core/errors.ts'

export interface Problem {
  /** Where the value belongs, as YAML spells it: `redis.dial_timeout`. Empty for the file as a whole. */
  readonly path: string
  /** Where it was written: `code`, `env REDIS_DIAL_TIMEOUT`, `sluice.yaml:12`. */
  readonly source: string
  readonly expected: string
  /** `expected` is a sentence of its own, such as a schema's message. */
  readonly sentence?: true
  /** What was found, safe to print. */
  readonly got?: string
}

/** Problems listed in a message; a file of another kind yields thousands, and nobody reads them. */
const MAX_LISTED = 50

/** One line: `env REDIS_DB (redis.db): expected integer, 0 to 65535, got "abc"`. */
export function describeProblem(problem: Problem): string {
  const place = problem.path === '' ? problem.source : `${problem.source} (${problem.path})`
  const got = problem.got === undefined ? '' : `, got ${problem.got}`
  return `${place}: ${problem.sentence === true ? '' : 'expected '}${problem.expected}${got}`
}

/** The one error of a configuration: SLUICE_CONFIG, with `details.problems`. */
export function configError(problems: readonly Problem[]): SluiceError {
  const unique = distinct(problems)
  const lines = unique.slice(0, MAX_LISTED).map((problem) => `  - ${describeProblem(problem)}`)
  if (unique.length > MAX_LISTED) lines.push(`  and ${unique.length - MAX_LISTED} more`)
  const count = unique.length === 1 ? '1 fault' : `${unique.length} faults`
  return new SluiceError('SLUICE_CONFIG', `the configuration has ${count}:\n${lines.join('\n')}`, {
    hint: 'Correct each line above; `sluice config` shows the effective configuration with the source of each value.',
    details: { problems: unique },
  })
}

/** Two components of one kind read the same variable: its fault is told once. */
export function distinct(problems: readonly Problem[]): readonly Problem[] {
  const seen = new Map<string, Problem>()
  for (const problem of problems) {
    const key = problem.source.startsWith('env ')
      ? `${problem.source} ${problem.expected}`
      : describeProblem(problem)
    if (!seen.has(key)) seen.set(key, problem)
  }
  return [...seen.values()]
}

/** Those of the file in the order of its lines, in the places that they have among the others. */
export function inLineOrder(problems: readonly Problem[]): readonly Problem[] {
  const ofFile = problems
    .map((problem) => ({ problem, place: lineOf(problem) }))
    .filter(({ place }) => place !== undefined)
    .toSorted((a, b) => compare(a.place ?? [], b.place ?? []))
    .values()
  return problems.map((problem) =>
    lineOf(problem) === undefined ? problem : (ofFile.next().value?.problem ?? problem),
  )
}

/** Line and column of `sluice.yaml:12:3`. */
function lineOf({ source }: Problem): readonly number[] | undefined {
  const match = source.startsWith('env ') ? null : /:(\d+)(?::(\d+))?$/.exec(source)
  return match === null ? undefined : [Number(match[1]), Number(match[2] ?? 0)]
}

function compare(a: readonly number[], b: readonly number[]): number {
  return (a[0] ?? 0) - (b[0] ?? 0) || (a[1] ?? 0) - (b[1] ?? 0)
}
