/** What caught each mutant: a table for people, which is also that of the docs. */
import type { MutantVerdict } from './run.ts'

export function formatVerdicts(verdicts: readonly MutantVerdict[]): string {
  const survived = verdicts.filter(({ caught }) => caught === undefined).length
  return [
    '| taken away | caught by |',
    '|---|---|',
    ...verdicts.map(
      ({ takes, proof, caught }) => `| ${takes} | ${caught === undefined ? '**nothing**' : proof} |`,
    ),
    '',
    survived === 0 ? `all ${verdicts.length} were caught` : `${survived} of ${verdicts.length} SURVIVED`,
    '',
  ].join('\n')
}
