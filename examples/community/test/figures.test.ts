/** The parts of the load that make its figures: percentiles, counts of answers, tables. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Crew } from '../load/crew.ts'
import { drive } from '../load/drive.ts'
import { inTurn } from '../load/in-turn.ts'
import { report } from '../load/report.ts'
import { Samples, SampleSet } from '../load/samples.ts'
import { steer } from '../load/steer.ts'

test('percentiles are those of all samples, in whatever order they came', () => {
  const samples = new Samples()
  assert.ok(Number.isNaN(samples.percentile(0.5)))
  for (const value of [5, 1, 4, 2, 3, 10, 9, 8, 7, 6]) samples.add(value)
  assert.deepEqual([samples.count, samples.percentile(0.5), samples.percentile(0.99)], [10, 6, 10])
})

test('of very many samples a part stands for all', () => {
  const samples = new Samples()
  let turn = 0
  const random = (): number => (turn = (turn + 0.6180339887) % 1)
  for (let value = 0; value < 300_000; value++) samples.add(value, random)
  assert.equal(samples.count, 300_000)
  const half = samples.percentile(0.5)
  assert.ok(half > 130_000 && half < 170_000, String(half))
})

test('answers are counted by what they are, and what was about nothing is not', async () => {
  const statuses = [200, 201, 204, 404, 409, 503, 0, undefined]
  let turn = 0
  const { answered, refused, failed, lost } = await drive({
    rate: 1_000,
    seconds: 0.8,
    next: () => ({ kind: 'uncomment', pick: 0 }),
    act: async () => {
      const status = statuses[turn++ % statuses.length]
      return status === undefined ? undefined : { status, body: null }
    },
  })
  assert.deepEqual(
    [answered.of('uncomment').count, refused, failed, lost],
    [300, { uncomment: 200 }, { uncomment: 100 }, { uncomment: 100 }],
  )
})

test('what people do ends before its time when it is enough', async () => {
  let done = 0
  const { answered } = await drive({
    rate: 1_000,
    seconds: 86_400,
    next: () => ({ kind: 'uncomment', pick: 0 }),
    act: async () => ({ status: 200, body: ++done }),
    isOver: () => done >= 5,
  })
  assert.equal(answered.of('uncomment').count, done)
})

test('a parent says when it is enough, and has processes killed one after the other', async () => {
  let killing = 0
  let kills = 0
  const crew = {
    async replaceOne() {
      assert.equal(++killing, 1)
      await new Promise((resolve) => setImmediate(resolve))
      killing--
      kills++
    },
  }
  const steering = steer(crew)
  for (const word of ['kill', 'kill', 'nothing']) process.emit('message', word, undefined)
  assert.equal(steering.isOver, false)
  process.emit('message', 'enough', undefined)
  assert.equal(steering.isOver, true)
  await steering.end()
  assert.equal(kills, 2)
  assert.equal(process.listenerCount('message'), 0)
})

test('each item has its turn, so many at once', async () => {
  let running = 0
  let most = 0
  const seen: number[] = []
  await inTurn(3, [10, 11, 12, 13, 14, 15, 16], async (item, index) => {
    most = Math.max(most, ++running)
    await new Promise((resolve) => setImmediate(resolve))
    seen.push(item - index)
    running--
  })
  assert.deepEqual([most, seen], [3, Array.from({ length: 7 }, () => 10)])
})

test('the report names what is missing and what is wrong', () => {
  const crew = new Crew()
  crew.delays.of('feeds').add(12)
  crew.memory.set('http://site', { first: 100 * 1_048_576, most: 120 * 1_048_576, last: 110 * 1_048_576 })
  const answered = new SampleSet()
  answered.of('vote').add(7)
  const finding = {
    name: 'feeds',
    rows: 10,
    missing: 1,
    wrong: 2,
    examples: ['missing (1,2)', 'wrong (3,4)'],
  }
  const done = { answered, refused: { vote: 3 }, failed: {}, lost: {}, seconds: 2 }
  const text = report({
    done,
    crew,
    most: { events: 5, oldestMs: 17.2 },
    settleSeconds: 1.25,
    findings: [finding],
  })
  assert.match(text, /^vote +1 +0\.5 +7 +7 +3 +0 +0$/m)
  assert.match(text, /^feeds +1 +12 +12$/m)
  assert.match(text, /^http:\/\/site +100 +120 +110$/m)
  assert.match(text, /^at most 5 events and 17 ms behind, nothing left 1\.3 s after the end/m)
  assert.match(text, /^feeds +10 +1 +2$/m)
  assert.match(text, /^feeds: missing \(1,2\)$/m)
})

test('a crew without anybody answers that nobody knows', async () => {
  assert.deepEqual(await new Crew().ask('GET', '/feed', '1'), { status: 0, body: null })
})
