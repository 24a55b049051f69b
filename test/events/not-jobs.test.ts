/** Events that wait lie in the table of the jobs, and are none. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { event } from '../../src/events/index.ts'
import { job, jobs } from '../../src/jobs/index.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { anything, place, skip, until } from './support.ts'

const Created = event('todo.created', anything<{ n: number }>())
const Work = job('work', anything<{ n: number }>())

test('an event that waits, and a delivery, are neither found nor cancelled as jobs', { skip }, async () => {
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
