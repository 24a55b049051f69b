/**
 * `SLUICE_SOAK=1 npm test -- <file>` starts and stops as often as a process does in years, to find what leaks too
 * slowly for a usual run. The limits of the test runner are ten times as long then.
 */

/** How often a test that repeats itself does: `usual`, or `soak` with SLUICE_SOAK=1. */
export function soakCycles(usual: number, soak: number): number {
  return process.env['SLUICE_SOAK'] === '1' ? soak : usual
}
