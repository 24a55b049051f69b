/** A process that runs jobs under a limit, and counts what it does in tables that all such processes share. */
import { postgres } from '../../src/components/postgres/index.ts'
import { jobs } from '../../src/jobs/index.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { Few, Often, OftenByKey, TwoByKey } from './limits-jobs.ts'

const db = await connectComponent(postgres({ dsn: process.argv[2] ?? '' }), { name: 'db' })
const { api } = await connectComponent(jobs({ concurrency: 10 }), { required: { postgres: db.api } })

for (const running of [Few, TwoByKey]) {
  api.handle(running, async ({ data: { key } }) => {
    await db.api.execute(
      `insert into running as r (key, now, most) values ($1, 1, 1)
       on conflict (key) do update set now = r.now + 1, most = greatest(r.most, r.now + 1)`,
      [key],
    )
    await db.api.execute('update running set now = now - 1, done = done + 1 where key = $1', [key])
  })
}
for (const often of [Often, OftenByKey]) {
  api.handle(often, async ({ data: { key } }) => {
    await db.api.execute('insert into starts (key) values ($1)', [key])
  })
}
process.send?.('ready')
