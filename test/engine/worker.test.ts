/**
 * Workers that die, freeze, block and leave, as processes of their own, and what becomes of their tasks. Each test mostly
 * waits until somebody counts as dead: they wait together.
 */
import assert from 'node:assert/strict'
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { suite, test } from 'node:test'
import { enqueueTasks } from '../../src/engine/tasks/enqueue.ts'
import { claimTasks } from '../../src/engine/tasks/claim.ts'
import type { HeldTask, NewTask } from '../../src/engine/tasks/task.ts'
import { soakCycles } from '../support/soak.ts'
import { durableDatabase } from '../support/durable-database.ts'
import { openEngine, type OwnEngine } from './leases-support.ts'

const options = { timeout: 120_000 }

suite('workers', { concurrency: 4 }, () => {
  test('tasks of a killed process are ready again before its lease is over', options, async () => {
    await using own = await durableDatabase()
    await using mine = await openEngine(own.dsn)
    const queue = await enqueue(mine, 3, { max_attempt: 2 })
    await enqueue(mine, 2, { max_attempt: 1, prio: 0 })
    await using program = await start(own.dsn, 5)
    // Nobody waits for the end of the lease: the lock of the process is free.
    await mine.db.execute(`update sluice.worker set ttl = '1 hour' where id = $1`, [program.id])
    program.child.kill('SIGKILL')
    const tasks = await claimed(mine, queue, 5)
    // Which of them the process died of nobody knows: none has lost an attempt.
    assert.deepEqual(
      tasks.map(({ attempt, errs }) => ({ attempt, errors: errs?.map(({ error }) => error) })),
      Array.from({ length: 5 }, () => ({ attempt: 1, errors: ['worker lost'] })),
    )
    assert.deepEqual(await mine.db.query('select why from sluice.dead'), [])
  })

  test('what a frozen process answers when it wakes up changes nothing', options, async () => {
    await using own = await durableDatabase()
    await using mine = await openEngine(own.dsn)
    const queue = await enqueue(mine, 2, {})
    await using program = await start(own.dsn, 2)
    program.child.kill('SIGSTOP')
    const tasks = await claimed(mine, queue, 2)
    const { late } = (await mine.db.queryOne<{ late: boolean }>(
      `select dead_at >= beat + ttl as late from sluice.worker where id = $1`,
      [program.id],
    ))!
    assert.ok(late, 'it may come back until its lease is over')
    const lost = program.says('lost')
    const again = program.says('again')
    program.child.kill('SIGCONT')
    assert.equal((await lost)['code'], 'SLUICE_LEASE_LOST')
    assert.notEqual((await again)['id'], program.id)
    program.child.send({ kind: 'ack' })
    assert.equal((await program.says('acked'))['count'], 0)
    const rows = await mine.db.query<{ owner: string }>('select owner from sluice.task')
    assert.deepEqual(
      rows.map(({ owner }) => owner),
      tasks.map(() => mine.engine.worker.lease?.id),
    )
  })

  test('a process whose event loop is blocked keeps its lease', options, async () => {
    await using own = await durableDatabase()
    await using mine = await openEngine(own.dsn)
    await enqueue(mine, 1, {})
    await using program = await start(own.dsn, 1)
    program.child.send({ kind: 'block', ms: soakCycles(10_000, 20_000) })
    assert.equal((await program.says('blocked'))['id'], program.id)
    program.child.send({ kind: 'ack' })
    assert.equal((await program.says('acked'))['count'], 1)
  })

  test('what a process leaves behind when it closes is free at once', options, async () => {
    await using own = await durableDatabase()
    await using mine = await openEngine(own.dsn)
    const queue = await enqueue(mine, 2, {})
    await using program = await start(own.dsn, 2)
    const ended = once(program.child, 'exit')
    program.child.send({ kind: 'close' })
    assert.deepEqual(await ended, [0, null])
    assert.equal((await claimed(mine, queue, 2)).length, 2)
  })
})

interface Program extends AsyncDisposable {
  readonly child: ChildProcess
  /** Of its worker's row. */
  readonly id: string
  /** The next message of this kind. */
  says(kind: string): Promise<Readonly<Record<string, unknown>>>
}

/** A process that holds `count` tasks. */
async function start(dsn: string, count: number): Promise<Program> {
  const child = fork(new URL('worker-program.ts', import.meta.url), [dsn, 'work', String(count)])
  const says = (kind: string): Promise<Readonly<Record<string, unknown>>> =>
    new Promise((resolve, reject) => {
      const hear = (message: Readonly<Record<string, unknown>>): void => {
        if (message['kind'] !== kind) return
        child.off('message', hear)
        resolve(message)
      }
      child.on('message', hear)
      child.once('exit', (code, signal) => reject(new Error(`it ended with ${code ?? signal}`)))
    })
  const holds = await says('holds')
  assert.equal(holds['count'], count)
  return {
    child,
    id: String(holds['id']),
    says,
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill('SIGKILL')
      await once(child, 'exit')
    },
  }
}

async function enqueue({ engine, db }: OwnEngine, count: number, extra: Partial<NewTask>): Promise<number> {
  const queue = await engine.queues.id('work')
  await enqueueTasks(
    db,
    Array.from({ length: count }, () => ({
      queue,
      prio: 5,
      shard: 0,
      delay: 0,
      max_attempt: 5,
      body: '{}',
      ...extra,
    })),
  )
  return queue
}

/** Claims until it has `count` tasks: at each hint, as workers do. */
async function claimed({ engine, db }: OwnEngine, queue: number, count: number): Promise<HeldTask[]> {
  const tasks: HeldTask[] = []
  const hints = new Set<() => void>()
  const off = engine.wake.on(`q${queue}`, () => hints.forEach((hint) => hint()))
  try {
    for (;;) {
      const hinted = new Promise<void>((resolve) => hints.add(resolve))
      tasks.push(...(await claimTasks(db, queue, engine.worker.lease!.id, count)))
      if (tasks.length >= count) return tasks
      await hinted
    }
  } finally {
    off()
  }
}
