/**
 * How loudly to tell the `failures`-th failure in a row of what is done again and again. A single one is over by the
 * next time; what goes on failing (a right that is missing, a table that is gone) has to be heard of: the third, then
 * each time as many have come again, so that a database that is away for an hour does not fill the log.
 */
export function levelOf(failures: number): 'debug' | 'warn' {
  return failures >= 3 && Number.isInteger(Math.log2(failures / 3)) ? 'warn' : 'debug'
}
