/**
 * How hot a post is: its score counts by powers of ten, and every 45,000 seconds (12.5 hours) of being newer as much as ten
 * times the votes. So the value of a post changes with its votes only, never with time, and an index keeps the order.
 *
 *     hotness = sign(score) * log10(max(|score|, 1)) + seconds since 2005-12-08T07:46:43Z / 45000
 *
 * This is the ranking that Reddit published with its source (`hot` in r2/lib/db/_sorts.pyx), its constants included.
 */
const EPOCH_SECONDS = 1_134_028_003
const SECONDS_OF_A_POWER = 45_000

export function hotness(score: number, createdAt: Date): number {
  const order = Math.sign(score) * Math.log10(Math.max(Math.abs(score), 1))
  return order + (createdAt.getTime() / 1_000 - EPOCH_SECONDS) / SECONDS_OF_A_POWER
}

/** The same for the database, which counts the votes. */
export const HOTNESS_FUNCTION = `
  create function hotness(score int, created_at timestamptz) returns double precision immutable parallel safe language sql as $$
    select sign(score) * log(greatest(abs(score), 1)::double precision)
      + (extract(epoch from created_at)::double precision - ${EPOCH_SECONDS}) / ${SECONDS_OF_A_POWER}
  $$;`
