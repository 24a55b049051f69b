/** The promises of the component on the server that comes from node_modules. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { postgres, type Postgres } from '../../../src/components/postgres/index.ts'
import { connectComponent, type OpenComponent } from '../../../src/testing/connect-component.ts'
import { conformance } from './conformance.ts'

const dataDir = await mkdtemp(join(tmpdir(), 'sluice-pg-'))
// Holds the server while the tests come and go, which otherwise would each start and stop it.
let holder: OpenComponent<Postgres> | undefined
before(async () => {
  holder = await connectComponent(postgres({ dataDir }), { name: 'holder' })
})
after(async () => {
  await holder?.close()
  await rm(dataDir, { recursive: true, force: true })
})

test('an embedded server that was killed is started again, with what was committed', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'sluice-pg-'))
  try {
    await using made = await connectComponent(postgres({ dataDir: directory }), { name: 'db' })
    await made.api.script('create table t (n int); insert into t values (1)')
    const lost = new Promise<void>((resolve) => {
      const look = (): void => void (made.losses.length > 0 ? resolve() : setImmediate(look))
      look()
    })
    const { pid } = made.component.inspect()['embedded'] as { readonly pid: number }
    process.kill(pid, 'SIGKILL')
    await lost
    // As the app does: again and again. The first attempts may come before the end of the server is known.
    while (made.phase !== 'ready') await made.connect().catch(() => {})
    assert.deepEqual(await made.api.query('select n from t'), [{ n: 1 }])
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})

conformance((options) => connectComponent(postgres({ dataDir, ...options }), { name: 'db' }), false)
