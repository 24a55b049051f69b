/** From the receipt of a message to its storing, at 1,000 messages a second; and a restart with the cache that it left. */
import { FAST, type Stage } from './stage.ts'

export async function latency(stage: Stage): Promise<void> {
  const { context, row } = stage
  for (const batchTimeout of [25, 10]) {
    context.note(`latency, ${batchTimeout} ms`)
    const options = {
      batchTimeout,
      path: `/late${batchTimeout}`,
      room: 4_000,
      keyName: `late${batchTimeout}`,
      notesLatency: true,
    }
    await using one = await stage.receiver('ours', options)
    await one.ask({ ask: 'connect' })
    await one.ask({ ask: 'round', count: 1_000, rate: 1_000 })
    const count = context.quick ? 2_000 : 10_000
    const { p50, p99 } = await one.ask({ ask: 'round', count, rate: 1_000 })
    row(`receipt to stored at 1,000/s, BATCH_TIMEOUT ${batchTimeout} ms, p50`, p50 ?? 0, 'ms')
    row(`receipt to stored at 1,000/s, BATCH_TIMEOUT ${batchTimeout} ms, p99`, p99 ?? 0, 'ms')
    // In order, so that the lease is given back; after a kill the successor waits for it to run out.
    await one.ask({ ask: 'stop' })
  }
}

export async function restart(stage: Stage): Promise<void> {
  const { context, row } = stage
  context.note('a restart with a warm cache')
  const options = { ...FAST, path: '/warm', room: 20_000, keyName: 'warm' }
  {
    await using first = await stage.receiver('ours', options)
    await first.ask({ ask: 'connect' })
    await first.ask({ ask: 'stop' })
  }
  await using second = await stage.receiver('ours', options)
  row('restart with a warm cache, until ready', (await second.ask({ ask: 'connect' })).value, 'ms')
}
