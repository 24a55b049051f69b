/** The exact times of expressions, where calendars and clocks are unusual; and what is said about wrong ones. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dueSlots, MAX_CAUGHT_UP } from '../../src/cron/due.ts'
import { parseExpression } from '../../src/cron/expression.ts'
import { isSluiceError } from '../../src/core/errors.ts'

function nextOf(text: string, timezone: string, after: string, count: number): readonly string[] {
  const expression = parseExpression('test', text, timezone)
  const found: string[] = []
  let at: number | undefined = Date.parse(after)
  while (found.length < count && at !== undefined) {
    at = expression.next(at)
    if (at !== undefined) found.push(new Date(at).toISOString().replace('.000Z', 'Z'))
  }
  return found
}

const TABLE: readonly (readonly [
  what: string,
  text: string,
  zone: string,
  after: string,
  runs: readonly string[],
])[] = [
  [
    'a fixed time in the gap of spring runs at the first valid time',
    '30 2 * * *',
    'Europe/Berlin',
    '2026-03-28T00:00:00Z',
    ['2026-03-28T01:30:00Z', '2026-03-29T01:00:00Z', '2026-03-30T00:30:00Z'],
  ],
  [
    'a fixed time in the double hour of autumn runs once',
    '30 2 * * *',
    'Europe/Berlin',
    '2026-10-24T12:00:00Z',
    ['2026-10-25T00:30:00Z', '2026-10-26T01:30:00Z'],
  ],
  [
    'what repeats goes on through the gap by real time',
    '*/30 * * * *',
    'Europe/Berlin',
    '2026-03-29T00:15:00Z',
    ['2026-03-29T00:30:00Z', '2026-03-29T01:00:00Z', '2026-03-29T01:30:00Z'],
  ],
  [
    'what repeats runs in both of the double hours',
    '*/30 * * * *',
    'Europe/Berlin',
    '2026-10-24T23:59:00Z',
    ['2026-10-25T00:00:00Z', '2026-10-25T00:30:00Z', '2026-10-25T01:00:00Z', '2026-10-25T01:30:00Z'],
  ],
  [
    'midnight does not exist on one day in Santiago',
    '0 0 * * *',
    'America/Santiago',
    '2026-09-05T12:00:00Z',
    ['2026-09-06T04:00:00Z', '2026-09-07T03:00:00Z'],
  ],
  [
    'half an hour of daylight saving at Lord Howe',
    '15 2 * * *',
    'Australia/Lord_Howe',
    '2026-10-02T12:00:00Z',
    ['2026-10-02T15:45:00Z', '2026-10-03T15:30:00Z', '2026-10-04T15:15:00Z'],
  ],
  [
    'leap days',
    '0 0 29 2 *',
    'UTC',
    '2026-01-01T00:00:00Z',
    ['2028-02-29T00:00:00Z', '2032-02-29T00:00:00Z'],
  ],
  ['2100 is no leap year', '0 0 29 2 *', 'UTC', '2096-03-01T00:00:00Z', ['2104-02-29T00:00:00Z']],
  [
    'the end of 32 bits of seconds',
    '*/7 * * * * *',
    'UTC',
    '2038-01-19T03:14:06Z',
    ['2038-01-19T03:14:07Z', '2038-01-19T03:14:14Z'],
  ],
  ['a nickname', '@hourly', 'UTC', '2026-12-31T23:00:00Z', ['2027-01-01T00:00:00Z', '2027-01-01T01:00:00Z']],
  ['strictly after a fraction', '* * * * * *', 'UTC', '2026-01-01T00:00:00.900Z', ['2026-01-01T00:00:01Z']],
]

for (const [what, text, zone, after, runs] of TABLE) {
  test(`${text} in ${zone}: ${what}`, () => {
    assert.deepEqual(nextOf(text, zone, after, runs.length), runs)
  })
}

const WRONG: readonly (readonly [text: string, zone: string, says: RegExp])[] = [
  ['', 'UTC', /does not have five or six fields/],
  ['* * * *', 'UTC', /"\* \* \* \*": does not have five or six fields/],
  ['* * * * * * *', 'UTC', /does not have five or six fields/],
  ['61 * * * *', 'UTC', /minute/],
  ['*/0 * * * *', 'UTC', /stepping: 0/],
  ['@never', 'UTC', /"@never"/],
  ['@reboot', 'UTC', /not supported/],
  ['2026-12-01T00:00:00', 'UTC', /does not have five or six fields/],
  ['0 0 30 2 *', 'UTC', /names no day that exists/],
  ['* '.repeat(200), 'UTC', /at most 200 characters/],
  ['0 0 * * *', 'Mars/Olympus', /time zone "Mars\/Olympus" is not known/],
]

for (const [text, zone, says] of WRONG) {
  test(`refused with place, value and remedy: ${JSON.stringify(text.slice(0, 30))} in ${zone}`, () => {
    assert.throws(
      () => parseExpression('schedule "digest"', text, zone),
      (error) => {
        assert.ok(isSluiceError(error))
        assert.equal(error.code, 'SLUICE_INVALID_ARGUMENT')
        assert.match(error.message, /^schedule "digest": /)
        assert.match(error.message, says)
        return true
      },
    )
  })
}

const everySecond = parseExpression('test', '* * * * * *')
const start = Date.UTC(2026, 0, 1)

test('however long nobody looked, due slots are decided on in bounded steps', () => {
  const now = start + 30 * 365 * 86_400_000
  assert.deepEqual(dueSlots(everySecond, start, now, 'skip'), {
    run: [now],
    truncated: false,
    next: now + 1_000,
  })
  assert.deepEqual(dueSlots(everySecond, start, now, 'once').run, [now])
  const all = dueSlots(everySecond, start, now, 'all')
  assert.equal(all.run.length, MAX_CAUGHT_UP)
  assert.equal(all.run[0], start)
  assert.equal(all.truncated, true)
  assert.equal(all.next, now + 1_000)
})

test('a slot that is more than a minute late was missed', () => {
  const hourly = parseExpression('test', '@hourly')
  assert.deepEqual(dueSlots(hourly, start, start + 60_000, 'skip').run, [start])
  assert.deepEqual(dueSlots(hourly, start, start + 60_001, 'skip').run, [])
  assert.deepEqual(dueSlots(hourly, start, start + 60_001, 'once').run, [start])
  assert.deepEqual(dueSlots(hourly, start, start + 2 * 3_600_000 + 60_001, 'once').run, [
    start + 2 * 3_600_000,
  ])
  assert.deepEqual(dueSlots(hourly, start, start - 1, 'all'), { run: [], truncated: false, next: start })
})
