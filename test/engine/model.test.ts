/** Tasks through any sequence of what may happen to them, beside a model in memory that must agree. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Postgres } from '../../src/components/postgres/index.ts'
import { claimTasks } from '../../src/engine/tasks/claim.ts'
import { enqueueTasks } from '../../src/engine/tasks/enqueue.ts'
import { ackTasks, failTasks, releaseTasks } from '../../src/engine/tasks/finish.ts'
import { freeTasks } from '../../src/engine/worker/liveness.ts'
import { durableDatabase } from '../support/durable-database.ts'
import { soakCycles } from '../support/soak.ts'
import { newTask, openTables, worker } from './tasks-support.ts'

interface ModelTask {
  readonly id: string
  readonly prio: number
  readonly max: number
  /** By order of due times among those of one priority. */
  due: number
  attempt: number
  owner: number | undefined
  errors: number
}

interface Model {
  tasks: ModelTask[]
  readonly dead: Map<string, { readonly attempt: number; readonly errors: number }>
  /** What each worker was handed, answered or not: it may answer late. */
  handed: { readonly id: string; readonly attempt: number; readonly by: number }[]
  due: number
}

interface Real {
  readonly db: Postgres
  /** Ids of the rows of the workers of the model. */
  readonly workers: string[]
}

type Command = fc.AsyncCommand<Model, Real>
const WORKERS = 3
const FREE = freeTasks({ deadWithoutLockMs: 0, returnMs: 0, freeAfterCrashMs: 0, freeAfterSilenceMs: 0 })

function command(name: string, run: (model: Model, real: Real) => Promise<void>): Command {
  return {
    check: () => true,
    toString: () => name,
    async run(model, real) {
      await run(model, real)
      await agree(model, real)
    },
  }
}

const enqueue = (prio: number, max: number): Command =>
  command(`enqueue(${prio}, ${max})`, async (model, { db }) => {
    const [made] = await enqueueTasks(db, [newTask({ prio, max_attempt: max })])
    model.tasks.push({ id: made!.id, prio, max, due: model.due++, attempt: 0, owner: undefined, errors: 0 })
  })

const claim = (by: number, limit: number): Command =>
  command(`claim(${by}, ${limit})`, async (model, { db, workers }) => {
    const claimed = await claimTasks(db, 1, workers[by]!, limit)
    const expected = model.tasks
      .filter(({ owner }) => owner === undefined)
      .toSorted((a, b) => a.prio - b.prio || a.due - b.due)
      .slice(0, limit)
    for (const task of expected) {
      task.owner = by
      task.attempt++
      model.handed.push({ id: task.id, attempt: task.attempt, by })
    }
    assert.deepEqual(
      claimed.map(({ id, attempt }) => [id, attempt]),
      expected.map(({ id, attempt }) => [id, attempt]),
    )
  })

/** Any task that was ever handed out, also one that was answered, freed or cancelled since. */
function answer(
  name: string,
  pick: number,
  run: (
    model: Model,
    db: Postgres,
    handed: Model['handed'][number],
    worker: string,
    held: ModelTask | undefined,
  ) => Promise<void>,
): Command {
  return command(`${name}(${pick})`, async (model, { db, workers }) => {
    const handed = model.handed[pick % Math.max(1, model.handed.length)]
    if (handed === undefined) return
    const held = model.tasks.find(
      ({ id, attempt, owner }) => id === handed.id && attempt === handed.attempt && owner === handed.by,
    )
    await run(model, db, handed, workers[handed.by]!, held)
  })
}

const ack = (pick: number): Command =>
  answer('ack', pick, async (model, db, handed, by, held) => {
    assert.equal((await ackTasks(db, [handed], by)).size, held === undefined ? 0 : 1)
    model.tasks = model.tasks.filter((task) => task !== held)
  })

const release = (pick: number): Command =>
  answer('release', pick, async (_, db, handed, by, held) => {
    assert.equal((await releaseTasks(db, [handed], by)).size, held === undefined ? 0 : 1)
    if (held === undefined) return
    held.owner = undefined
    held.attempt--
  })

const fail = (pick: number, isFinal: boolean): Command =>
  answer(isFinal ? 'refuse' : 'fail', pick, async (model, db, handed, by, held) => {
    const answers = await failTasks(db, [{ ...handed, delay: isFinal ? -1 : 0, error: 'no' }], by)
    if (held === undefined) {
      assert.deepEqual(answers, [])
      return
    }
    const dies = isFinal || held.attempt >= held.max
    assert.deepEqual(answers, [{ id: held.id, dead: dies }])
    end(model, held, dies)
    held.due = model.due++
  })

/** The worker died, was found dead and what it owned is freed; it goes on under another id. */
const lose = (by: number): Command =>
  command(`lose(${by})`, async (model, real) => {
    const { db, workers } = real
    await db.execute(`update sluice.worker set dead_at = clock_timestamp() - interval '1 s' where id = $1`, [
      workers[by],
    ])
    assert.deepEqual(await claimTasks(db, 1, workers[by]!, 5), [])
    await db.query(FREE, [], { idempotent: false })
    for (const task of model.tasks.filter(({ owner }) => owner === by)) {
      // Nobody knows which of them it was: none runs alone in here.
      end(model, task, false)
      task.attempt--
    }
    model.handed = model.handed.filter((handed) => handed.by !== by)
    workers[by] = await worker(db)
  })

/** Ends an attempt without success. */
function end(model: Model, task: ModelTask, dies: boolean): void {
  task.owner = undefined
  task.errors++
  if (!dies) return
  model.tasks = model.tasks.filter((each) => each !== task)
  model.dead.set(task.id, { attempt: task.attempt, errors: task.errors })
}

async function agree(model: Model, { db, workers }: Real): Promise<void> {
  const rows = await db.query<{ id: string; attempt: number; owner: string | null; errors: number }>(
    `select id, attempt, owner, coalesce(jsonb_array_length(errs), 0) as errors from sluice.task order by id`,
  )
  assert.deepEqual(
    rows,
    model.tasks
      .toSorted((a, b) => Number(a.id) - Number(b.id))
      .map(({ id, attempt, owner, errors }) => ({
        id,
        attempt,
        owner: owner === undefined ? null : workers[owner],
        errors,
      })),
  )
  const dead = await db.query<{ id: string; attempt: number; errors: number }>(
    'select id, attempt, jsonb_array_length(errs) as errors from sluice.dead order by id',
  )
  assert.deepEqual(
    new Map(dead.map(({ id, ...rest }) => [id, rest])),
    new Map([...model.dead].toSorted(([a], [b]) => Number(a) - Number(b))),
  )
}

const pick = fc.nat({ max: 30 })
const by = fc.nat({ max: WORKERS - 1 })
const commands = fc.commands(
  [
    fc.tuple(fc.nat({ max: 9 }), fc.integer({ min: 1, max: 3 })).map(([prio, max]) => enqueue(prio, max)),
    fc.tuple(by, fc.integer({ min: 1, max: 4 })).map(([worker, limit]) => claim(worker, limit)),
    pick.map(ack),
    pick.map(release),
    pick.map((n) => fail(n, false)),
    pick.map((n) => fail(n, true)),
    by.map(lose),
  ],
  { size: '+1' },
)

test('whatever happens to tasks, the tables agree with a model in memory', { timeout: 300_000 }, async () => {
  await using own = await durableDatabase()
  await using tables = await openTables(own.dsn)
  const { db } = tables
  await fc.assert(
    fc.asyncProperty(commands, async (sequence) => {
      await db.execute('truncate sluice.task, sluice.dead, sluice.worker')
      const workers = await Promise.all(Array.from({ length: WORKERS }, () => worker(db)))
      await fc.asyncModelRun(
        () => ({
          model: { tasks: [], dead: new Map(), handed: [], due: 0 } satisfies Model,
          real: { db, workers },
        }),
        sequence,
      )
    }),
    { numRuns: soakCycles(20, 1_000) },
  )
})
