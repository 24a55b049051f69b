/**
 * What the source of tasks without a key does through any sequence of claims, ends, settling, cancelling, redriving and
 * lost workers, beside a model in memory that must agree: also of tasks in lots, of which the tables say nothing yet.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Postgres } from '../../src/components/postgres/index.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { enqueueTasks } from '../../src/engine/tasks/enqueue.ts'
import type { HeldTask } from '../../src/engine/tasks/task.ts'
import { freeTasks, settleLotsOfTheDead } from '../../src/engine/worker/liveness.ts'
import type { Lease } from '../../src/engine/worker/worker.ts'
import { cancelJob } from '../../src/jobs/admin/cancel.ts'
import { redriveDead } from '../../src/jobs/admin/dead-letters.ts'
import { poolSource } from '../../src/jobs/pool-source.ts'
import type { SourceHost, TaskSource } from '../../src/jobs/source.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { newTask, openTables, worker } from '../engine/tasks-support.ts'
import { durableDatabase } from '../support/durable-database.ts'
import { soakCycles } from '../support/soak.ts'

const WORKERS = 3
/** From this many on a claim takes lots. */
const LOT = 50
const NOW = { deadWithoutLockMs: 0, returnMs: 0, freeAfterCrashMs: 0, freeAfterSilenceMs: 0 }
const SETTLE = settleLotsOfTheDead(NOW)
const FREE = freeTasks(NOW)

interface ModelTask {
  readonly id: string
  readonly prio: number
  readonly max: number
  due: number
  attempt: number
  owner: number | undefined
  /** Number of the open lot that it is in. */
  lot: number | undefined
  errors: number
}

interface Handed {
  readonly task: HeldTask
  readonly by: number
  readonly lot: number | undefined
}

interface Model {
  tasks: ModelTask[]
  readonly dead: Map<
    string,
    { readonly prio: number; readonly max: number; readonly attempt: number; readonly errors: number }
  >
  handed: Handed[]
  due: number
  lots: number
}

interface Node {
  lease: Lease
  source: TaskSource
}

interface Real {
  readonly db: Postgres
  readonly clock: ManualClock
  readonly engine: Engine
  readonly nodes: Node[]
}

type Command = fc.AsyncCommand<Model, Real>

function command(name: string, run: (model: Model, real: Real) => Promise<void>): Command {
  return {
    check: () => true,
    toString: () => name,
    async run(model, real) {
      await run(model, real)
      await agree(model, real.db, real.nodes)
    },
  }
}

const enqueue = (count: number, prio: number, max: number): Command =>
  command(`enqueue(${count}, ${prio}, ${max})`, async (model, { db }) => {
    for (let n = 0; n < count; n++) {
      const [made] = await enqueueTasks(db, [newTask({ prio, max_attempt: max })])
      const fresh = { attempt: 0, owner: undefined, lot: undefined, errors: 0 }
      model.tasks.push({ id: made!.id, prio, max, due: model.due++, ...fresh })
    }
  })

const claim = (by: number, limit: number): Command =>
  command(`claim(${by}, ${limit})`, async (model, { nodes, clock }) => {
    // Long enough for a look from the beginning.
    await clock.advance(10_000)
    const { source, lease } = nodes[by]!
    const expected = model.tasks
      .filter(({ owner }) => owner === undefined)
      .toSorted((a, b) => a.prio - b.prio || a.due - b.due)
      .slice(0, limit)
    const lot = limit >= LOT && openLots(model) < 8 ? model.lots++ : undefined
    const claimed = await source.claim(lease, limit)
    for (const task of expected) {
      task.lot = task.attempt === 0 && task.errors === 0 ? lot : undefined
      task.owner = by
      task.attempt++
    }
    const row = ({ id, attempt }: { readonly id: string; readonly attempt: number }): string =>
      `${id}/${attempt}`
    assert.deepEqual(claimed.map(row), expected.map(row))
    for (const [n, task] of claimed.entries()) {
      assert.equal(task.lot !== undefined, expected[n]!.lot !== undefined, 'in a lot')
      model.handed.push({ task, by, lot: expected[n]!.lot })
    }
  })

/** The end of any task that was handed out and not answered, also of one that was freed or cancelled since. */
function answer(
  name: string,
  pick: number,
  run: (model: Model, real: Real, node: Node, handed: Handed, held: ModelTask | undefined) => Promise<void>,
): Command {
  return command(`${name}(${pick})`, async (model, real) => {
    const at = pick % Math.max(1, model.handed.length)
    const [handed] = model.handed.splice(at, 1)
    if (handed === undefined) return
    const held = model.tasks.find(
      ({ id, attempt, owner, lot }) =>
        id === handed.task.id &&
        attempt === handed.task.attempt &&
        owner === handed.by &&
        (lot === undefined || lot === handed.lot),
    )
    await run(model, real, real.nodes[handed.by]!, handed, held)
  })
}

const done = (pick: number): Command =>
  answer('done', pick, async (model, { db }, { source, lease }, { task }, held) => {
    const { id, attempt, lot } = task
    const ours = await source.done(db, [{ id, attempt, lot, keepMs: 0 }], lease)
    assert.deepEqual([...ours], held === undefined ? [] : [id])
    model.tasks = model.tasks.filter((each) => each !== held)
  })

const release = (pick: number): Command =>
  answer('release', pick, async (model, { db }, { source, lease }, { task, lot: number }, held) => {
    const { id, attempt, lot } = task
    const ours = await source.release(db, [{ id, attempt, lot, delay: 0 }], lease)
    settle(model, number)
    assert.deepEqual([...ours], held === undefined ? [] : [id])
    if (held === undefined) return
    held.owner = undefined
    held.attempt--
  })

const fail = (pick: number, isFinal: boolean): Command =>
  answer(
    isFinal ? 'refuse' : 'fail',
    pick,
    async (model, { db }, { source, lease }, { task, lot: number }, held) => {
      const { id, attempt, lot } = task
      const end = { id, attempt, lot, delay: isFinal ? -1 : 0, error: 'no' }
      const answers = await source.fail(db, [end], lease)
      settle(model, number)
      if (held === undefined) {
        assert.deepEqual(answers, [])
        return
      }
      const dies = isFinal || held.attempt >= held.max
      assert.deepEqual(answers, [{ id, dead: dies }])
      held.due = model.due++
      endBadly(model, held, dies)
    },
  )

/** The once a second of a runner. */
const tick = (by: number): Command =>
  command(`tick(${by})`, async (model, { nodes, clock }) => {
    await clock.advance(10_000)
    await nodes[by]!.source.tick?.(nodes[by]!.lease)
    for (const { owner, lot } of model.tasks) if (owner === by) settle(model, lot)
  })

const cancel = (pick: number): Command =>
  command(`cancel(${pick})`, async (model, { engine }) => {
    const task = model.tasks[pick % Math.max(1, model.tasks.length)]
    if (task === undefined) return
    assert.equal(await cancelJob(engine, task.id), true)
    model.tasks = model.tasks.filter((each) => each !== task)
  })

const redrive = (): Command =>
  command('redrive', async (model, { db, engine }) => {
    const letters = new Map(model.dead)
    const answer = await redriveDead(engine, { canary: 0 }, AbortSignal.timeout(30_000))
    assert.deepEqual(answer, { redriven: letters.size, stopped: false, left: 0 })
    // Several in one statement: who is due first is for the server to say.
    const rows = await db.query<{ id: string }>(
      'select id from sluice.task where id = any($1::bigint[]) order by run_at, id',
      [[...letters.keys()]],
    )
    for (const { id } of rows) {
      const { prio, max, errors } = letters.get(id)!
      model.tasks.push({
        id,
        prio,
        max,
        due: model.due++,
        errors,
        attempt: 0,
        owner: undefined,
        lot: undefined,
      })
    }
    model.dead.clear()
  })

/** The worker died and was found dead; it goes on under another id. */
const lose = (by: number): Command =>
  command(`lose(${by})`, async (model, real) => {
    const { db, nodes } = real
    const node = nodes[by]!
    await db.execute(`update sluice.worker set dead_at = clock_timestamp() - interval '1 s' where id = $1`, [
      node.lease.id,
    ])
    while ((await db.query(SETTLE, [], { idempotent: false })).length > 0);
    await db.query(FREE, [], { idempotent: false })
    for (const task of model.tasks.filter(({ owner }) => owner === by)) {
      // Nobody knows which of them it was: none runs alone in here.
      endBadly(model, task, false)
      task.attempt--
    }
    // What it answers late changes nothing.
    for (const { task } of model.handed.filter((handed) => handed.by === by)) {
      const { id, attempt, lot } = task
      assert.equal((await node.source.done(db, [{ id, attempt, lot, keepMs: 0 }], node.lease)).size, 0)
    }
    model.handed = model.handed.filter((handed) => handed.by !== by)
    nodes[by] = await newNode(real)
  })

function openLots({ tasks }: Model): number {
  return new Set(tasks.flatMap(({ lot }) => lot ?? [])).size
}

/** From here on the tables say whose its tasks are. */
function settle(model: Model, lot: number | undefined): void {
  if (lot !== undefined) for (const task of model.tasks) if (task.lot === lot) task.lot = undefined
}

function endBadly(model: Model, task: ModelTask, dies: boolean): void {
  task.owner = undefined
  task.lot = undefined
  task.errors++
  if (!dies) return
  model.tasks = model.tasks.filter((each) => each !== task)
  const { prio, max, attempt, errors } = task
  model.dead.set(task.id, { prio, max, attempt, errors })
}

async function newNode({ db, engine }: Pick<Real, 'db' | 'engine'>): Promise<Node> {
  const host = { engine, queueId: 1, queueName: 'one' } as unknown as SourceHost
  return { lease: { id: await worker(db), signal: new AbortController().signal }, source: poolSource(host) }
}

async function agree(model: Model, db: Postgres, nodes: readonly Node[]): Promise<void> {
  const rows = await db.query<{ id: string; attempt: number; owner: string | null; errors: number }>(
    `select id, attempt, owner, coalesce(jsonb_array_length(errs), 0) as errors from sluice.task order by id`,
  )
  assert.deepEqual(
    rows,
    model.tasks
      .toSorted((a, b) => Number(a.id) - Number(b.id))
      .map(({ id, attempt, owner, lot, errors }) => {
        const isPlain = owner === undefined || lot !== undefined
        return {
          id,
          attempt: lot === undefined ? attempt : 0,
          owner: isPlain ? null : nodes[owner]!.lease.id,
          errors,
        }
      }),
  )
  const dead = await db.query<{ id: string; attempt: number; errors: number }>(
    'select id, attempt, jsonb_array_length(errs) as errors from sluice.dead order by id',
  )
  const expected = [...model.dead].toSorted(([a], [b]) => Number(a) - Number(b))
  assert.deepEqual(
    dead,
    expected.map(([id, { attempt, errors }]) => ({ id, attempt, errors })),
  )
}

const pick = fc.nat({ max: 40 })
const by = fc.nat({ max: WORKERS - 1 })
const commands = fc.commands(
  [
    fc
      .tuple(fc.integer({ min: 1, max: 4 }), fc.nat({ max: 2 }), fc.integer({ min: 1, max: 3 }))
      .map(([count, prio, max]) => enqueue(count, prio, max)),
    by.map((n) => claim(n, 60)),
    fc.tuple(by, fc.integer({ min: 1, max: 3 })).map(([n, limit]) => claim(n, limit)),
    pick.map(done),
    pick.map(release),
    pick.map((n) => fail(n, false)),
    pick.map((n) => fail(n, true)),
    by.map(tick),
    pick.map(cancel),
    fc.constant(0).map(redrive),
    by.map(lose),
  ],
  { size: '+1' },
)

test(
  'whatever happens to tasks that are taken by lots and by ones, the tables agree with a model in memory',
  { timeout: 300_000 },
  async () => {
    await using own = await durableDatabase()
    await using tables = await openTables(own.dsn)
    const { db } = tables
    await fc.assert(
      fc.asyncProperty(commands, async (sequence) => {
        await db.execute('truncate sluice.task, sluice.dead, sluice.worker, sluice.lot')
        const clock = new ManualClock()
        const engine = { db, clock, wake: { signal: () => undefined } } as unknown as Engine
        const nodes: Node[] = []
        for (let n = 0; n < WORKERS; n++) nodes.push(await newNode({ db, engine }))
        await fc.asyncModelRun(
          () => ({
            model: { tasks: [], dead: new Map(), handed: [], due: 0, lots: 0 } satisfies Model,
            real: { db, clock, engine, nodes },
          }),
          sequence,
        )
      }),
      { numRuns: soakCycles(20, 1_000) },
    )
  },
)
