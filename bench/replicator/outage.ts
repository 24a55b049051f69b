/** Redis is stopped, with its connections open, while messages go on to come: memory, what is lost, how soon it catches up. */
import { FAST, pause, type Stage } from './stage.ts'

export async function outage(stage: Stage, seconds: number, rate: number): Promise<void> {
  const { context, row, server } = stage
  context.note(`Redis stopped for ${seconds} s`)
  await using one = await stage.receiver('ours', {
    ...FAST,
    path: '/stopped',
    room: 20_000,
    keyName: 'stopped',
  })
  await one.ask({ ask: 'connect' })
  const count = (seconds + 6) * rate
  await one.ask({ ask: 'send', count, rate })
  await pause(3_000)
  const { value: before } = await one.ask({ ask: 'facts' })
  let highest = before
  server.freeze()
  try {
    for (const until = performance.now() + seconds * 1_000; performance.now() < until;) {
      await pause(500)
      highest = Math.max(highest, (await one.ask({ ask: 'facts' })).value)
    }
  } finally {
    server.thaw()
  }
  const { value: caughtUp } = await one.ask({ ask: 'caughtUp', count: rate / 10 })
  await one.ask({ ask: 'ended', count })
  const { dropped } = await one.ask({ ask: 'facts' })
  const behind = await stage.behind('stopped')
  const label = `Redis stopped for ${seconds} s at ${rate.toLocaleString('en')}/s`
  row(`${label}, resident memory added`, highest - before, 'MB')
  row(`${label}, until caught up`, caughtUp / 1_000, 's')
  row(`${label}, dropped`, dropped ?? -1, 'messages')
  row(`${label}, keys of which not the last message is stored`, behind, 'keys')
}
