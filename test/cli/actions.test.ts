/** Commands that can do several things: what they make of what they are given. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inProcess } from './command.ts'

const MISUNDERSTOOD: readonly (readonly [readonly string[], RegExp])[] = [
  [
    ['jobs'],
    /^sluice: no database named: give the app's file, --dsn, or POSTGRES_DSN\nTry: sluice jobs --help/,
  ],
  [['jobs', 'sats'], /`sluice jobs` can do nothing called "sats"; did you mean stats\?/],
  [['jobs', 'frobnicate'], /it can stats, list, show/],
  [['jobs', 'absent.ts'], /there is no file .*absent\.ts/],
  [['jobs', 'show'], /`sluice jobs show` needs <id>/],
  [['jobs', 'show', '1', '2'], /does not know what to do with "2"/],
  [['jobs', 'show', 'x'], /expected an id, which is a number, got "x"/],
  [['jobs', 'list', '--canary', '3'], /--canary is no option of `sluice jobs list`/],
  [['jobs', 'list', '--limit', '0'], /--limit: expected a whole number from 1 to 10000, got "0"/],
  [['jobs', 'list', '--state', 'dead'], /--state: expected one of scheduled, ready, running/],
  [['jobs', 'list', '--limti', '1'], /unknown option "--limti"; did you mean --limit\?/],
  [['jobs', 'hello.ts', 'list'], /the app has no database/],
  [['jobs', 'exported.ts', 'list', '--database', 'dbb'], /the app has no database "dbb"; it has db/],
]

for (const [args, says] of MISUNDERSTOOD) {
  test(`what cannot be done ends with 64 before anything connects: sluice ${args.join(' ')}`, async () => {
    const { code, out, err } = await inProcess(args, {})
    assert.match(err, says)
    assert.deepEqual({ code, out }, { code: 64, out: '' })
  })
}
