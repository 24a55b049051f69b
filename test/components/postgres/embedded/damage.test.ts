/** Damaged files are found before anything is served, and left as they are. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { open, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { promisify } from 'node:util'
import { findWalDamage } from '../../../../src/components/postgres/embedded/wal-check.ts'
import { killAndWait, openClient, query, temporaryDirectory, until, useHere } from './support/harness.ts'
import { postgresProcessesOn } from '../../../../src/components/postgres/embedded/process-facts.ts'

const run = promisify(execFile)
const ROWS = 300

/** A database with rows in its log only, killed. Returns the address in the log where the rows begin. */
async function crashedDatabase(t: TestContext, dataDir: string): Promise<number> {
  const user = useHere(t, { dataDir })
  const { connection, inspection } = await user.next('ready')
  await query(connection, 'create table entries (id int primary key, filler text)')
  await query(connection, 'checkpoint')
  const [row] = await query(connection, `select (pg_current_wal_lsn() - '0/0')::float8 as at`)
  for (let id = 0; id < 3; id++) {
    await query(
      connection,
      `insert into entries select ${id * ROWS} + g, repeat('x', 100) from generate_series(1, ${ROWS}) g`,
    )
  }
  await killAndWait(inspection.pid)
  await user.release()
  await until(
    async () => (await postgresProcessesOn(join(dataDir, 'data'))).length === 0,
    'its children are gone',
  )
  return Number(row?.['at'])
}

async function segmentOf(data: string, address: number): Promise<{ path: string; offset: number }> {
  const names = (await readdir(join(data, 'pg_wal'))).filter((name) => /^[0-9A-F]{24}$/.test(name))
  const { size } = await stat(join(data, 'pg_wal', names[0]!))
  const name = `0000000100000000${Math.floor(address / size)
    .toString(16)
    .toUpperCase()
    .padStart(8, '0')}`
  return { path: join(data, 'pg_wal', name), offset: address % size }
}

async function flipBit(path: string, offset: number): Promise<void> {
  const file = await open(path, 'r+')
  try {
    const { buffer } = await file.read(Buffer.alloc(1), 0, 1, offset)
    await file.write(Buffer.of(buffer[0]! ^ 0x10), 0, 1, offset)
  } finally {
    await file.close()
  }
}

/** Written by every start that gets so far, before anything is looked at. */
const RUN_FILES = /^postmaster\.|^\.s\.PGSQL|^pg_dynshmem\//

/** Sizes and times of all data files, to see that none was touched. */
async function fingerprint(data: string): Promise<ReadonlyMap<string, string>> {
  const names = (await readdir(data, { recursive: true })).filter((name) => !RUN_FILES.test(name))
  const facts = names.map(async (name) => {
    const stats = await stat(join(data, name), { bigint: true })
    return stats.isFile() ? [[name, `${stats.size} ${stats.mtimeNs}`] as const] : []
  })
  return new Map((await Promise.all(facts)).flat())
}

function differences(
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
): readonly string[] {
  return [...new Set([...before.keys(), ...after.keys()])].filter(
    (name) => before.get(name) !== after.get(name),
  )
}

test('damage of a database that crashed is refused with its place, and nothing is touched', async (t) => {
  const parent = await temporaryDirectory(t)
  const original = join(parent, 'original')
  const begin = await crashedDatabase(t, original)
  const kinds: Readonly<Record<string, (data: string) => Promise<void>>> = {
    'a bit of the log flipped': async (data) => {
      const { path, offset } = await segmentOf(data, begin + 40_000)
      await flipBit(path, offset)
    },
    'the log truncated': async (data) => {
      const { path, offset } = await segmentOf(data, begin + 40_000)
      await truncate(path, offset)
    },
    'a bit of the control file flipped': (data) => flipBit(join(data, 'global', 'pg_control'), 100),
    'the control file truncated': (data) => truncate(join(data, 'global', 'pg_control'), 64),
    'the control file gone': (data) => rm(join(data, 'global', 'pg_control')),
    'the version file gone': (data) => rm(join(data, 'PG_VERSION')),
    'the log gone': (data) => rm(join(data, 'pg_wal'), { recursive: true }),
  }
  for (const [what, harm] of Object.entries(kinds)) {
    const dataDir = join(parent, 'copy')
    await run('cp', ['-a', original, dataDir])
    await harm(join(dataDir, 'data'))
    const before = await fingerprint(join(dataDir, 'data'))
    const failed = await useHere(t, { dataDir }).next('failed')
    assert.equal(failed.code, 'SLUICE_STORE_CORRUPT', `${what}: ${failed.message}`)
    assert.ok(failed.message.includes(dataDir), failed.message)
    assert.match(failed.hint ?? '', /Nothing was changed/)
    assert.deepEqual(differences(before, await fingerprint(join(dataDir, 'data'))), [], what)
    await rm(dataDir, { recursive: true })
  }
})

test('the owner may start without what lies behind the damage, once', async (t) => {
  const dataDir = await temporaryDirectory(t)
  const begin = await crashedDatabase(t, dataDir)
  const { path, offset } = await segmentOf(join(dataDir, 'data'), begin + 40_000)
  await flipBit(path, offset)
  const failed = await useHere(t, { dataDir }).next('failed')
  const consent = join(dataDir, 'recover-anyway')
  assert.ok(failed.hint?.includes(consent))
  await writeFile(consent, '')
  const user = useHere(t, { dataDir })
  const { connection } = await user.next('ready')
  const [row] = await query(connection, 'select count(*)::int as n from entries')
  assert.ok(Number(row?.['n']) < 3 * ROWS, 'this is the loss that the refusal prevents')
  await assert.rejects(stat(consent))
  await user.release()
})

test('a server killed under many writers leaves a log that is not taken for damaged', async (t) => {
  const dataDir = await temporaryDirectory(t)
  const data = join(dataDir, 'data')
  let user = useHere(t, { dataDir })
  let ready = await user.next('ready')
  await query(ready.connection, 'create table entries (id bigserial primary key, filler text)')
  let acknowledged = 0
  const rounds = Number(process.env['SLUICE_KILL_ROUNDS'] ?? 3)
  for (let round = 0; round < rounds; round++) {
    const { connection, inspection } = ready
    let going = true
    const writers = Array.from({ length: 6 }, async (_, index) => {
      await using writer = await openClient(connection)
      // Long and short records, so that some run on over pages.
      const insert = `insert into entries (filler) values (repeat('x', ${10 + index * 3_000}))`
      while (going) {
        await writer.query(insert)
        acknowledged++
      }
    })
    const written = Promise.allSettled(writers)
    const goal = acknowledged + 300
    await until(() => Promise.resolve(acknowledged >= goal), 'the writers write', 30_000)
    await killAndWait(inspection.pid)
    going = false
    await written
    await user.release()
    assert.equal(await findWalDamage(data, AbortSignal.timeout(5_000)), undefined)
    user = useHere(t, { dataDir })
    ready = await user.next('ready')
    const [row] = await query(ready.connection, 'select count(*)::int as n from entries')
    assert.ok(Number(row?.['n']) >= acknowledged, `${String(row?.['n'])} of ${acknowledged} rows`)
  }
  await user.release()
})
