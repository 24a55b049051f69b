/**
 * Programs of one subscription that read different topics, as in a deployment: who works, and who stands by.
 *
 * The database says what the subscription reads: everything that any program reads that is alive. A program works on it
 * only if it knows all of that; of one that does not, the cursor would pass events that another one was to handle. Where
 * none knows all, nobody works, and events wait until some of them are gone.
 *
 *     another program comes that reads more ──▶ it is read from that moment on; who does not know it stands by
 *     who read it is gone for a while       ──▶ it is read no more; who stood by goes on
 *
 * For a while, because a process that was killed or replaced comes back. A program that starts while there is no other
 * decides at once.
 */
import { coversPatterns, joinPatterns } from './pattern.ts'

/** What only programs read that are gone is read for so long. */
export const ABSENCE_MS = 30_000

export interface Reading {
  /** What the subscription reads, as the database has it. */
  readonly patterns: readonly string[]
  /** What each other program reads that is alive. */
  readonly others: readonly (readonly string[])[]
}

/** What the subscription has to read once programs that are gone are forgotten; undefined where that is what it reads. */
export function withoutGone(
  own: readonly string[],
  { patterns, others }: Reading,
): readonly string[] | undefined {
  const wanted = joinPatterns([own, ...others])
  return coversPatterns(wanted, patterns) ? undefined : wanted
}

/** What it has to read, gone or not; undefined where that is what it reads. */
export function withOwn(own: readonly string[], { patterns }: Reading): readonly string[] | undefined {
  return coversPatterns(patterns, own) ? undefined : joinPatterns([patterns, own])
}

/** Topics and patterns that a program does not know. */
export function unknownTo(own: readonly string[], { patterns }: Reading): readonly string[] {
  return patterns.filter((each) => !coversPatterns(own, [each]))
}
