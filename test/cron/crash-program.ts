/**
 * A process with a schedule `work`, whose runs leave a row each. Told so, it kills itself at a moment of its first run.
 *
 * argv: dsn, expression, retries, moment or nothing. Says `ready`, then `ran` for each run.
 */
import { subscribe } from 'node:diagnostics_channel'
import { openNode } from './cluster-support.ts'

const [dsn = '', expression = '@yearly', retries = '0', moment = ''] = process.argv.slice(2)

// The test is gone: so is this.
process.on('disconnect', () => process.exit())
if (moment !== '') subscribe(`sluice:${moment}`, () => process.kill(process.pid, 'SIGKILL'))

const node = await openNode(dsn, () => {})
node.api.schedule(
  'work',
  expression,
  async ({ slot, attempt }) => {
    await node.db.execute('insert into effect values ($1, $2, $3)', [slot, attempt, process.pid])
    process.send?.('ran')
  },
  { retries: Number(retries), missed: 'all', overlap: 'queue' },
)
// What follows its registration is answered when that is done.
await node.api.runNow('work', { key: 'registered' })
process.send?.('ready')
