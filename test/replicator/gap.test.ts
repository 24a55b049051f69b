/** What waited when messages were missed must not be the base of what comes after them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SluiceError } from '../../src/core/errors.ts'
import { memorySink, MemoryStore, type Page, type Replicator } from '../../src/replicator/index.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { expected, replicatorOf, startSource, stored } from './support.ts'
import { eventually } from './sinks/support.ts'

test('a partial after a gap is merged into the row of the load, not into what waited before it', async () => {
  await using source = await startSource()
  const { log } = source
  const store = new MemoryStore()
  let isDown = false
  const pages: (Page | Promise<Page>)[] = []
  const sink = memorySink({ store })
  await using open = await connectComponent(
    replicatorOf(source, {
      sink: (context) => {
        const made = sink(context)
        const apply = made.apply.bind(made)
        made.apply = (batch, signal) =>
          isDown
            ? Promise.reject(new SluiceError('SLUICE_UNAVAILABLE', 'it is down', { retryable: true }))
            : apply(batch, signal)
        return made
      },
      loader: () => ({
        kind: 'test',
        async *pages() {
          for (const page of pages.splice(0)) yield await page
        },
      }),
    }),
  )
  const { api } = open as { readonly api: Replicator }
  const received = (n: number): Promise<true> =>
    eventually(async () => (api.stats().lanes['company']!.received >= n ? true : undefined))

  isDown = true
  log.change('company', 'full', 'x', { a: 1 }, 2_000)
  source.pump()
  await received(1)
  const page = Promise.withResolvers<Page>()
  pages.push(page.promise)
  // Missed: it is not kept, and whoever asks for it has to load.
  log.change('company', 'partial', 'x', { missed: true }, 2_001)
  log.forget()
  source.disconnect()
  await eventually(async () => (api.stats().reloads === 1 ? true : undefined))
  log.change('company', 'partial', 'x', { n: 2 }, 2_002)
  source.pump()
  await received(2)
  page.resolve({
    lane: 'company',
    at: { ms: 2_001, seq: 0 },
    total: 1,
    rows: [{ id: 'x', json: '{"a":1,"missed":true}', data: { a: 1, missed: true } }],
  })
  isDown = false
  await eventually(async () => (api.stats().ready ? true : undefined))
  await eventually(async () => (api.stats().cursor === '2002-0' ? true : undefined))
  assert.deepEqual(stored(store), expected(log))
  const { received: all, processed, skipped, dead, returned, dropped } = api.stats().lanes['company']!
  assert.deepEqual([processed + skipped + dead + returned, dropped], [all, 0])
})
