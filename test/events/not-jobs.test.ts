/** Events that wait lie in the table of the jobs, and are none. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { event } from '../../src/events/index.ts'
import { job, jobs } from '../../src/jobs/index.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { inProcess } from '../cli/command.ts'
import { anything, place, until } from './support.ts'

const Created = event('todo.created', anything<{ n: number }>())
const Work = job('work', anything<{ n: number }>())

test('an event that waits, and a delivery, are neither found nor cancelled as jobs', async () => {
  await using here = await place()
  const peer = await here.peer()
  await using work = await connectComponent(jobs({}), { required: { postgres: peer.db } })
  const ids = async (): Promise<readonly string[]> =>
    (await peer.db.query<{ id: string }>('select id::text from sluice.task order by id')).map(({ id }) => id)
  const options = { attempts: 3, backoff: { base: '1h', max: '1h' }, transaction: true } as const
  const fails = (): void => {
    throw new Error('never')
  }
  await peer.events.subscribe(Created, 'reader', fails, options).ready()
  const { id: waits } = await peer.events.publish(Created, { n: 1 }, { delay: '1h' })
  await peer.events.publish(Created, { n: 2 })
  const { id: real } = await work.api.enqueue(Work, { n: 3 }, { delay: '1h' })
  const all = await until(ids, (list) => list.length === 3)
  for (const id of all) {
    assert.equal((await work.api.get(id))?.name, id === real ? 'work' : undefined)
    assert.equal(await work.api.cancel(id), id === real)
  }
  const left = await ids()
  assert.deepEqual(
    left,
    all.filter((id) => id !== real),
  )
  assert.ok(left.includes(waits))
})

test('what died of events is no dead letter of a job', async () => {
  await using here = await place()
  const peer = await here.peer()
  await using work = await connectComponent(jobs({}), { required: { postgres: peer.db } })
  const fails = (): void => {
    throw new Error('never')
  }
  await peer.events.subscribe(Created, 'reader', fails, { attempts: 1 }).ready()
  await peer.events.publish(Created, { n: 1 })
  await until(
    () => peer.events.deadLetters.list(),
    (letters) => letters.length === 1,
  )
  await peer.db.execute(
    `insert into sluice.dead (id, queue, prio, shard, attempt, max_attempt, run_at, made, why)
     select 1000, id, 5, 0, 1, 1, now(), now(), 'as of an older version' from sluice.queue where name = 'events/later'`,
  )
  const dead = await peer.db.query<{ id: string }>('select id::text from sluice.dead')
  assert.equal(dead.length, 2)
  assert.deepEqual(await work.api.deadLetters.list(), [])
  for (const { id } of dead) assert.equal(await work.api.deadLetters.get(id), undefined)
  assert.equal(await work.api.deadLetters.drop({ before: new Date('2999-01-01') }), 0)
  assert.equal((await work.api.deadLetters.redrive({ canary: 0 })).redriven, 0)
  const shown = await inProcess(['jobs', 'dead'], { POSTGRES_DSN: here.dsn })
  assert.match(shown.out, /^No dead letters\.$/m)
})
