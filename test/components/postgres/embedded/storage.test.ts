/** Directories that cannot be used, disks that are full: the error names the place and the remedy. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmod, chown, mkdir, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { promisify } from 'node:util'
import {
  atEnd,
  killServers,
  query,
  serversOn,
  startUser,
  temporaryDirectory,
  until,
  useHere,
} from './support/harness.ts'

const run = promisify(execFile)
const isRoot = process.getuid?.() === 0
const NOBODY = 65534
const nobody = { uid: NOBODY, gid: NOBODY, env: { PATH: process.env['PATH'], HOME: '/nonexistent' } }
const asRoot = { skip: isRoot ? false : 'mounts file systems and gives files away, so it needs to be root' }

/** Mounts a file system in memory, if this machine lets us. */
async function mountTmpfs(t: TestContext, path: string, options: string): Promise<boolean> {
  await mkdir(path, { recursive: true })
  try {
    await run('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', path])
  } catch (error) {
    t.skip(`cannot mount: ${String(error)}`)
    return false
  }
  atEnd(t, async () => {
    await killServers(join(path, 'store', 'data'))
    await run('umount', ['-l', path])
  })
  return true
}

test('a read-only file system is named with its path', asRoot, async (t) => {
  const mount = join(await temporaryDirectory(t), 'mount')
  if (!(await mountTmpfs(t, mount, 'size=1m,ro'))) return
  const failed = await useHere(t, { dataDir: join(mount, 'store') }).next('failed')
  assert.equal(failed.code, 'SLUICE_STORE_FAILED')
  assert.match(failed.message, /mount\/store.*EROFS/s)
  assert.match(failed.hint ?? '', /dataDir/)
})

test('a database that was made and is read-only now is named with its path', asRoot, async (t) => {
  const mount = join(await temporaryDirectory(t), 'mount')
  if (!(await mountTmpfs(t, mount, 'size=200m'))) return
  const dataDir = join(mount, 'store')
  const user = useHere(t, { dataDir })
  await user.next('ready')
  await user.release()
  await run('mount', ['-o', 'remount,ro', mount])
  const failed = await useHere(t, { dataDir }).next('failed')
  assert.equal(failed.code, 'SLUICE_STORE_FAILED')
  assert.ok(failed.message.includes(dataDir), failed.message)
})

test('a directory of another user is named with its path and its owner', asRoot, async (t) => {
  const dataDir = join(await temporaryDirectory(t), 'store')
  await mkdir(dataDir)
  const failed = await startUser(t, { dataDir }, nobody).next('failed')
  assert.equal(failed.code, 'SLUICE_STORE_FAILED')
  assert.ok(failed.message.includes(`${dataDir} is a directory of another user (uid 0)`), failed.message)
  assert.match(failed.hint ?? '', /chown/)
})

test(
  'data of another user in a directory of our own are named with their path and owner',
  asRoot,
  async (t) => {
    const dataDir = await temporaryDirectory(t)
    const first = useHere(t, { dataDir, rootWays: ['setuid'] })
    await first.next('ready')
    await first.release()
    await chown(join(dataDir, 'data'), NOBODY - 7, NOBODY - 7)
    const failed = await useHere(t, { dataDir }).next('failed')
    assert.equal(failed.code, 'SLUICE_STORE_FAILED')
    assert.ok(failed.message.includes(join(dataDir, 'data')), failed.message)
    assert.match(failed.message, new RegExp(`owner ${NOBODY - 7}`))
  },
)

test('a path that leads through a file is named', async (t) => {
  const parent = join(await temporaryDirectory(t), 'file')
  await writeFile(parent, '')
  const failed = await useHere(t, { dataDir: join(parent, 'store') }).next('failed')
  assert.equal(failed.code, 'SLUICE_STORE_FAILED')
  assert.match(failed.message, /file\/store.*ENOTDIR/s)
})

test('missing parents are made, and a mode that is too open is closed', async (t) => {
  const dataDir = join(await temporaryDirectory(t), 'some', 'where', 'store')
  const user = useHere(t, { dataDir })
  await user.next('ready')
  await user.release()
  await chmod(dataDir, 0o777)
  await chmod(join(dataDir, 'data'), 0o755)
  const again = useHere(t, { dataDir })
  await again.next('ready')
  assert.equal((await stat(dataDir)).mode & 0o067, 0)
  assert.equal((await stat(join(dataDir, 'data'))).mode & 0o777, 0o700)
  await again.release()
})

test(
  'a link of another user in the place of the directory is refused, our own is followed',
  asRoot,
  async (t) => {
    const parent = await temporaryDirectory(t)
    const [real, link] = [join(parent, 'real'), join(parent, 'link')]
    await mkdir(real, { mode: 0o700 })
    await symlink(real, link)
    await run('chown', ['-h', String(NOBODY), link])
    const failed = await useHere(t, { dataDir: link }).next('failed')
    assert.equal(failed.code, 'SLUICE_STORE_FAILED')
    assert.match(failed.message, /link is a link of another user/)
    await rm(link)
    await symlink(real, link)
    const user = useHere(t, { dataDir: link })
    assert.equal((await user.next('ready')).connection.host, join(real, 'data'))
    await user.release()
  },
)

test('a path too long for a socket works through a short link of our own', async (t) => {
  const parent = await temporaryDirectory(t)
  const dataDir = join(parent, 'a-rather-long-name-of-a-directory-'.repeat(4), 'store')
  const user = startUser(t, { dataDir }, { env: { ...process.env, TMPDIR: parent } })
  const { connection } = await user.next('ready')
  assert.ok(connection.host.startsWith(join(parent, 'sluice-')), connection.host)
  assert.deepEqual(await query(connection, 'select 1 as one'), [{ one: 1 }])
  // The link is found again, and one that was removed meanwhile is made again.
  await rm(connection.host)
  const second = startUser(t, { dataDir }, { env: { ...process.env, TMPDIR: parent } })
  assert.equal((await second.next('ready')).connection.host, connection.host)
  await Promise.all([user.release(), second.release()])
  assert.deepEqual(await serversOn(join(dataDir, 'data')), [])
})

test('a short directory whose name another user took is refused', asRoot, async (t) => {
  const parent = await temporaryDirectory(t)
  await mkdir(join(parent, `sluice-${process.getuid?.()}`))
  await chown(join(parent, `sluice-${process.getuid?.()}`), NOBODY, NOBODY)
  const dataDir = join(parent, 'a-rather-long-name-of-a-directory-'.repeat(4), 'store')
  const failed = await startUser(t, { dataDir }, { env: { ...process.env, TMPDIR: parent } }).next('failed')
  assert.equal(failed.code, 'SLUICE_STORE_FAILED')
  assert.match(failed.hint ?? '', /TMPDIR/)
  assert.deepEqual(await serversOn(join(dataDir, 'data')), [], 'nothing was left running')
})

test(
  'a disk without room for a new database is STORE_FULL, and works once there is room',
  asRoot,
  async (t) => {
    const mount = join(await temporaryDirectory(t), 'mount')
    if (!(await mountTmpfs(t, mount, 'size=64m'))) return
    await writeFile(join(mount, 'ballast'), Buffer.alloc(50 * 2 ** 20))
    const dataDir = join(mount, 'store')
    const failed = await useHere(t, { dataDir }).next('failed')
    assert.equal(failed.code, 'SLUICE_STORE_FULL')
    assert.ok(failed.message.includes(dataDir), failed.message)
    await rm(join(mount, 'ballast'))
    const user = useHere(t, { dataDir })
    await user.next('ready')
    await user.release()
  },
)

test(
  'a disk that fills up under a database loses no committed row, and works on once there is room',
  asRoot,
  async (t) => {
    const mount = join(await temporaryDirectory(t), 'mount')
    if (!(await mountTmpfs(t, mount, 'size=64m'))) return
    const dataDir = join(mount, 'store')
    const user = useHere(t, { dataDir })
    const { connection, inspection } = await user.next('ready')
    await query(connection, 'create table blobs (id serial primary key, bytes bytea)')
    await query(connection, 'alter table blobs alter bytes set storage external')
    let acknowledged = 0
    const fill = `insert into blobs (bytes) values (decode(repeat('ab', 1000000), 'hex')) returning id`
    try {
      for (; acknowledged < 200; acknowledged++) await query(connection, fill)
      assert.fail('the disk never filled up')
    } catch (error) {
      assert.match(String(error), /No space left on device|terminat|ECONN|closed/i)
    }
    assert.ok(acknowledged > 0)
    // It went on, went down and recovers, or ended, as it cannot write its log: that depends on what did not fit.
    const alive = (await serversOn(join(dataDir, 'data'))).includes(inspection.pid)
    if (!alive) assert.equal((await useHere(t, { dataDir }).next('failed')).code, 'SLUICE_STORE_FULL')
    await run('mount', ['-o', 'remount,size=200m', mount])
    let next = useHere(t, { dataDir })
    await until(async () => {
      const { connection: now } = await next.next('ready')
      if (
        await query(now, 'select 1').then(
          () => true,
          () => false,
        )
      )
        return true
      await next.release()
      next = useHere(t, { dataDir })
      return false
    }, 'the database works again')
    const { connection: again } = await next.next('ready')
    const [row] = await query(again, 'select count(*)::int as n from blobs')
    assert.ok(Number(row?.['n']) >= acknowledged, `${String(row?.['n'])} of ${acknowledged} rows`)
    await query(again, fill)
    await Promise.all([user.release(), next.release()])
  },
)
