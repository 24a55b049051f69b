/** A source whose stream ids ascend only within a type of entity: it is told, and nothing is lost for it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  memorySink,
  MemoryStore,
  replicator,
  type Page,
  type Receiver,
  type Replicator,
} from '../../src/replicator/index.ts'
import type { Source } from '../../src/replicator/contract.ts'
import { parseStreamId, type StreamId } from '../../src/replicator/stream-id.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { eventually } from './sinks/support.ts'

const id = (text: string): StreamId => parseStreamId(text)!

/** A source that delivers by hand, and a loader that has what it is given. */
async function setup() {
  let receiver: Receiver | undefined
  const source: Source = {
    kind: 'test',
    open: (options) => {
      receiver = options.receiver
      setImmediate(() => options.receiver.live(id('1-0'), false))
    },
    pause: () => {},
    resume: () => {},
    restart: () => {},
    check: () => Promise.resolve(),
    close: () => Promise.resolve(),
    inspect: () => ({}),
  }
  const store = new MemoryStore()
  const rows: Page[] = []
  const open = await connectComponent(
    replicator({
      source: () => source,
      sink: memorySink({ store }),
      loader: () => ({
        kind: 'test',
        async *pages() {
          await Promise.resolve()
          yield* rows
        },
      }),
    }),
  )
  const { api } = open as { readonly api: Replicator }
  await eventually(() => Promise.resolve(api.stats().ready ? true : undefined))
  const send = (lane: string, name: string, at: string): void =>
    receiver!.message(lane, 'full', name, `{"at":"${at}"}`, undefined, id(at))
  const stored = (at: string): Promise<true> =>
    eventually(() => Promise.resolve(api.stats().ready && api.stats().cursor === at ? true : undefined))
  return { open, api, store, rows, send, stored }
}

test('what comes again, in whatever lane, is no disorder', async () => {
  const { open, api, send, stored } = await setup()
  await using _ = open
  send('user', 'u', '12-0')
  send('company', 'c', '20-0')
  // As after a resume.
  send('user', 'u', '12-0')
  send('company', 'c', '20-0')
  send('user', 'u', '21-0')
  await stored('21-0')
  assert.equal(api.stats().reloads, 0)
})

test('what came never before, below the id of another lane, lets everything be loaded', async () => {
  const { open, api, store, rows, send, stored } = await setup()
  await using _ = open
  rows.push({ lane: 'user', at: id('20-0'), total: 1, rows: [{ id: 'hidden', json: '{}', data: undefined }] })
  send('company', 'c', '20-0')
  await stored('20-0')
  // All that was missed of one lane behind all that was missed of another.
  for (const at of ['12-0', '13-0', '14-0']) send('user', `u${at}`, at)
  await eventually(() => Promise.resolve(store.entity('user', 'hidden') === undefined ? undefined : true))
  await stored('20-0')
  assert.equal(api.stats().reloads, 1)
  send('user', 'u', '30-0')
  await stored('30-0')
  assert.equal(store.entity('user', 'u'), '{"at":"30-0"}')
  assert.equal(api.stats().reloads, 1)
})
