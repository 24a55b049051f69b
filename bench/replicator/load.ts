/** The whole data set is loaded in pages while the stream is live. */
import { FAST, type Stage } from './stage.ts'

export async function load(stage: Stage, keys: number): Promise<void> {
  const { context, row } = stage
  context.note(`a load of ${keys} entities while live`)
  const options = { path: '/load', room: 20_000, keyName: 'load', keys, pageSize: 5_000 }
  await using one = await stage.receiver('ours', { ...options, ...FAST })
  const before = await one.ask({ ask: 'facts' })
  const { value } = await one.ask({ ask: 'connect' })
  const after = await one.ask({ ask: 'facts' })
  const label = `load of ${keys.toLocaleString('en')} entities`
  row(`${label}, until ready`, value / 1_000, 's')
  row(label, (keys / value) * 1_000, 'entities/s')
  row(`${label}, resident memory added`, after.value - before.value, 'MB')
}
