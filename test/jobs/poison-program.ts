/** A process whose job of the number 5 ends it. It says when a job began. */
import { postgres } from '../../src/components/postgres/index.ts'
import { job, jobs } from '../../src/jobs/index.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { z } from 'zod'

const [dsn = '', mode = ''] = process.argv.slice(2)
const Poison = job('poison', z.object({ n: z.number() }))
const db = await connectComponent(postgres({ dsn, maxOpenConns: 4 }), { name: 'db' })
const { api } = await connectComponent(jobs({ concurrency: 60 }), { required: { postgres: db.api } })

const INSERT = 'insert into effects (n) values ($1)'
const endSometimes = (n: number): void => {
  process.send?.('begun')
  if (n === 5) process.kill(process.pid, 'SIGKILL')
}

if (mode === 'transaction') {
  api.handle(
    Poison,
    async ({ data: { n }, tx }) => {
      endSometimes(n)
      await tx.execute(INSERT, [n])
    },
    { transaction: true },
  )
} else {
  api.handle(Poison, ({ signal }) => {
    process.send?.('begun')
    return new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))))
  })
}
