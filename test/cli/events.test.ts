import assert from 'node:assert/strict'
import { test } from 'node:test'
import { event } from '../../src/events/index.ts'
import { leakCheck } from '../../src/testing/leak-check.ts'
import { anything, place, Seen, until, type Place } from '../events/support.ts'
import { inProcess, type Finished } from './command.ts'

leakCheck()

const Created = event('todo.created', anything<{ n: number }>())

function call(at: Place, ...args: readonly string[]): Promise<Omit<Finished, 'signal'>> {
  return inProcess(['events', ...args], { POSTGRES_DSN: at.dsn })
}

test('a dead letter is shown, counted, and delivered again', async () => {
  await using at = await place()
  const peer = await at.peer()
  const done = new Seen<number>()
  let isBroken = true
  const reader = peer.events.subscribe(
    Created,
    'reader',
    ({ data }) => {
      if (isBroken) throw new Error(`broken for ${data.n}`)
      done.add(data.n)
    },
    { attempts: 2, backoff: { base: 1, max: 1 } },
  )
  await reader.ready()
  await peer.events.publish(Created, { n: 7 }, { key: 'k' })
  const [dead] = await until(
    () => peer.events.deadLetters.list(),
    (letters) => letters.length > 0,
  )
  const lag = await call(at)
  assert.match(lag.out, /^reader +\d+ +(-|\d+s) +\d+ +\d+ +1 +0 +- +1 +todo\.created$/m)
  const list = await call(at, 'dead', '--subscription', 'reader')
  assert.match(list.out, /reader +todo\.created +\d+ +k +.* ago \(.*Z\) +\d +Error: broken for 7$/m)
  const shown = await call(at, 'show', dead?.id ?? '')
  assert.match(shown.out, /^errors:\n {2}attempt 1, [^]*broken for 7\n {2}attempt 2, /m)
  assert.match(shown.out, /^data:\n {2}\{\n {4}"n": 7/m)
  const all = await call(at, 'redrive')
  assert.equal(all.code, 64)
  assert.match(all.err, /all 1 dead letter: say which by ids, --subscription or --before, or confirm/)
  assert.match((await call(at, 'redrive', '--dry-run')).out, /would deliver again 1 dead letter$/m)
  isBroken = false
  assert.match((await call(at, 'redrive', '--subscription', 'reader')).out, /^1 dead letter put back$/m)
  await done.atLeast(1)
  assert.deepEqual(done.all, [7])
  const gone = await call(at, 'drop', dead?.id ?? '')
  assert.equal(gone.code, 1)
  assert.match(gone.err, /1 id left/)
})

test('replay hands a subscription its past, and pause holds it', async () => {
  await using at = await place()
  const peer = await at.peer()
  const seen = new Seen<string | undefined>()
  await peer.events.subscribe(Created, 'reader', ({ replay }) => seen.add(replay)).ready()
  await peer.events.publish(Created, { n: 1 })
  await seen.atLeast(1)
  const { code, out, err } = await call(at, 'replay', 'reader', '--from', 'beginning', '--json')
  assert.equal(code, 0, err)
  const { replay } = JSON.parse(out) as { replay: { id: string; from: string } }
  assert.equal(replay.from, 'beginning')
  await seen.atLeast(2)
  assert.deepEqual(seen.all, [undefined, replay.id])
  assert.match((await call(at, 'replays', 'reader')).out, /^id +subscription +state/m)
  const told = await call(at, 'replay', 'reader', '--from', 'beginning')
  assert.match(told.out, /`npx sluice events replays( --dsn …)?` shows how far it is/)
  assert.equal((await call(at, 'cancel-replay', '999')).code, 1)
  const unknown = await call(at, 'pause', 'nobody')
  assert.equal(unknown.code, 1)
  assert.match(unknown.err, /no subscription is called "nobody"/)
  assert.equal((await call(at, 'pause', 'reader', '--why', 'mail is down')).code, 0)
  assert.equal((await peer.events.lag())[0]?.pausedWhy, 'mail is down')
  assert.equal((await call(at, 'resume', 'reader')).code, 0)
  assert.equal((await peer.events.lag())[0]?.paused, false)
  assert.match((await call(at, 'topics')).out, /^todo\.created +.* ago/m)
  const noFrom = await call(at, 'replay', 'reader')
  assert.equal(noFrom.code, 64)
})

test('remove takes out a subscription that no process has, after a yes', async () => {
  await using at = await place()
  const peer = await at.peer()
  const reader = peer.events.subscribe(Created, 'old', () => {})
  await reader.ready()
  const asked = await call(at, 'remove', 'old')
  assert.equal(asked.code, 64)
  assert.match(asked.err, /confirm with --yes/)
  const early = await call(at, 'remove', 'old', '--yes')
  assert.equal(early.code, 1)
  assert.match(early.err, /live processes that have it: 1/)
  await reader.stop()
  await until(
    () => peer.events.lag(),
    ([each]) => each?.processes === 0,
  )
  const done = await call(at, 'remove', 'old', '--yes')
  assert.equal(done.code, 0)
  assert.match(done.out, /^old is removed, with 0 retries and 0 dead letters$/m)
  assert.deepEqual(await peer.events.lag(), [])
})

test('a delivery that waits is listed, shown with its errors, and tried at once', async () => {
  await using at = await place()
  // Its next attempt is far away.
  const peer = await at.peer({}, { random: () => 0.9 })
  let isBroken = true
  const done = new Seen<number>()
  const reader = peer.events.subscribe(
    Created,
    'reader',
    ({ data }) => {
      if (isBroken) throw new Error('the index is away')
      done.add(data.n)
    },
    { backoff: { base: '1h', max: '1h' } },
  )
  await reader.ready()
  assert.match((await call(at, 'waiting')).out, /^No delivery waits\.$/m)
  await peer.events.publish(Created, { n: 7 })
  const [waiting] = await until(
    () => peer.events.waiting.list({ state: 'waiting' }),
    (list) => list.length > 0,
  )
  const id = waiting?.id ?? ''
  const list = await call(at, 'waiting', '--subscription', 'reader')
  assert.match(
    list.out,
    /reader +todo\.created +\d+ +- +waiting +3\/8 +in .* \(.*Z\) +Error: the index is away$/m,
  )
  const shown = await call(at, 'show', id)
  assert.equal(shown.code, 0, shown.err)
  assert.match(shown.out, /^state +waiting$[^]*^attempts +3 of 8$/m)
  assert.match(shown.out, /^errors:\n {2}attempt 1, [^]*attempt 3, .*\n {4}Error: the index is away$/m)
  assert.match(shown.out, /^data:\n {2}\{\n {4}"n": 7/m)
  const json = JSON.parse((await call(at, 'waiting', '--json')).out) as {
    waiting: { id: string }[]
    standing: []
  }
  assert.deepEqual([json.waiting.map((each) => each.id), json.standing], [[id], []])
  const all = await call(at, 'retry')
  assert.equal(all.code, 64)
  assert.match(all.err, /needs ids, or --subscription/)
  isBroken = false
  assert.match((await call(at, 'retry', id)).out, /^1 delivery is due now$/m)
  await done.atLeast(1)
  const gone = await call(at, 'retry', id)
  assert.equal(gone.code, 1)
  assert.match(gone.err, /1 id left as they were/)
  assert.equal((await call(at, 'show', id)).code, 1)
  assert.equal((await call(at, 'waiting', '--state', 'dead')).code, 64)
})
