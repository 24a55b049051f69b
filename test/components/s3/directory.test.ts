/** What only a directory can do wrong: links, crashes, damage, a full disk, other processes. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, readdir, readFile, stat, symlink, unlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { s3 } from '../../../src/components/s3/index.ts'
import { connectComponent } from '../../../src/testing/connect-component.ts'
import { assertNoLeaks, snapshotResources } from '../../../src/testing/leak-check.ts'
import { ManualClock } from '../../../src/testing/manual-clock.ts'
import { directoryStage, ownDirectory } from './support.ts'

const limit = { timeout: 60_000 }

/** All files below, by their paths from there on. */
async function filesBelow(root: string): Promise<readonly string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .sort()
}

test(
  'objects are two files each, for their owner alone, and nothing is left of what is gone',
  limit,
  async () => {
    const { path, remove } = await ownDirectory()
    try {
      await using open = await connectComponent(s3({ directory: join(path, 'made') }))
      const root = join(path, 'made')
      await open.api.upload('photos/2026/cat.jpg', 'meow', { contentType: 'image/jpeg' })
      await open.api.upload('photos/2026/cat.jpg', 'meow again')
      const [info = '', data = '', ...more] = await filesBelow(join(root, 'objects'))
      assert.deepEqual(more, [])
      assert.match(data, /^photos\/2026\/cat\.jpg@[0-9a-f]{16}$/)
      assert.equal(info, 'photos/2026/cat.jpg@.json')
      assert.equal(await readFile(join(root, 'objects', data), 'utf8'), 'meow again')
      assert.equal((await stat(root)).mode & 0o777, 0o700)
      assert.equal((await stat(join(root, 'objects', data))).mode & 0o777, 0o600)
      assert.equal((await stat(join(root, 'signing.key'))).mode & 0o777, 0o600)
      await open.api.delete('photos/2026/cat.jpg')
      assert.deepEqual(await readdir(join(root, 'objects')), [])
    } finally {
      await remove()
    }
  },
)

test(
  'a link in the directory is not followed, neither to read nor to write, list or delete',
  limit,
  async () => {
    await using own = await directoryStage()
    const { path: outside, remove } = await ownDirectory()
    try {
      const objects = join(String(own.api.status()['directory']), 'objects')
      await own.api.upload('real/key', 'inside')
      const [info = ''] = await filesBelow(objects)
      // A directory outside that looks like ours, and a file of attributes that is a link.
      await mkdir(join(outside, 'deep'))
      await writeFile(join(outside, 'key@.json'), await readFile(join(objects, info)))
      await writeFile(join(outside, 'other'), 'secret')
      await symlink(outside, join(objects, 'linked'))
      await symlink(join(objects, info), join(objects, 'alias@.json'))
      for (const key of ['linked/key', 'linked/deep/new', 'linked/other']) {
        await assert.rejects(Promise.resolve(own.api.upload(key, 'x')), { code: 'SLUICE_STORE_FAILED' })
        await assert.rejects(Promise.resolve(own.api.head(key)), { code: 'SLUICE_STORE_FAILED' })
        await assert.rejects(Promise.resolve(own.api.delete(key)), { code: 'SLUICE_STORE_FAILED' })
      }
      await assert.rejects(Promise.resolve(own.api.head('alias')), { code: 'SLUICE_STORE_FAILED' })
      assert.deepEqual(await Array.fromAsync(own.api.list(), ({ key }) => key), ['real/key'])
      assert.deepEqual((await readdir(outside)).sort(), ['deep', 'key@.json', 'other'])
      // Bytes that are a link.
      await own.api.upload('other', 'x')
      const bytes = (await filesBelow(objects)).find(
        (name) => name.startsWith('other@') && !name.endsWith('.json'),
      )
      assert.ok(bytes !== undefined)
      const target = join(objects, bytes)
      await unlink(target)
      await symlink(join(outside, 'other'), target)
      await assert.rejects(Promise.resolve(own.api.download('other')), { code: 'SLUICE_STORE_FAILED' })
    } finally {
      await remove()
    }
  },
)

test('files of others are neither listed nor touched', limit, async () => {
  await using own = await directoryStage()
  const objects = join(String(own.api.status()['directory']), 'objects')
  await own.api.upload('key', 'x')
  await writeFile(join(objects, 'README'), 'mine')
  await mkdir(join(objects, 'empty'))
  await writeFile(join(objects, 'empty', 'note.txt'), 'mine')
  assert.deepEqual(await Array.fromAsync(own.api.list(), ({ key }) => key), ['key'])
  assert.deepEqual(
    await Array.fromAsync(own.api.list({ delimiter: '/' }).pages()).then(([page]) => page?.prefixes),
    [],
  )
  assert.equal(await own.api.sweep({ olderThan: 0 }), 0)
  assert.equal(await readFile(join(objects, 'empty', 'note.txt'), 'utf8'), 'mine')
})

test('what is damaged is told with its file, and nothing else fails', limit, async () => {
  await using own = await directoryStage()
  const objects = join(String(own.api.status()['directory']), 'objects')
  await own.api.upload('good', 'x')
  for (const text of [
    '',
    '{',
    'null',
    '[]',
    '{"key":"bad"}',
    '{"key":"bad","data":"../../x","size":1,"etag":"","modified":0,"contentType":""}',
  ]) {
    await writeFile(join(objects, 'bad@.json'), text)
    await assert.rejects(Promise.resolve(own.api.head('bad')), {
      code: 'SLUICE_STORE_CORRUPT',
      message: /bad@\.json/,
    })
  }
  assert.equal(await (await own.api.download('good')).text(), 'x')
  await own.api.upload('lost', 'x')
  const bytes = (await filesBelow(objects)).find(
    (name) => name.startsWith('lost@') && !name.endsWith('.json'),
  )
  await unlink(join(objects, bytes ?? ''))
  await assert.rejects(Promise.resolve(own.api.download('lost')), { code: 'SLUICE_STORE_CORRUPT' })
})

test(
  'a process that is killed while it writes leaves the old object, and what it left is swept',
  limit,
  async () => {
    const { path, remove } = await ownDirectory()
    try {
      await using open = await connectComponent(s3({ directory: path }))
      await open.api.upload('left', 'before')
      const program = spawn(
        process.execPath,
        ['--conditions=sluice-source', join(import.meta.dirname, 'uploading-program.ts')],
        {
          env: { ...process.env, UPLOAD: JSON.stringify({ directory: path }) },
          stdio: ['ignore', 'pipe', 'inherit'],
        },
      )
      await once(program.stdout, 'data')
      program.kill('SIGKILL')
      await once(program, 'exit')
      assert.equal(await (await open.api.download('left')).text(), 'before')
      const objects = join(path, 'objects')
      const files = await filesBelow(objects)
      assert.equal(files.length, 3)
      assert.equal(await open.api.sweep({ olderThan: '1h' }), 0)
      assert.equal(await open.api.sweep({ olderThan: 0 }), 1)
      assert.equal((await filesBelow(objects)).length, 2)
      assert.equal(await (await open.api.download('left')).text(), 'before')
    } finally {
      await remove()
    }
  },
)

test('what was left half done is swept by itself after a day', limit, async () => {
  const { path, remove } = await ownDirectory()
  try {
    const swept = Promise.withResolvers<void>()
    const log = {
      debug: () => {},
      warn: () => {},
      error: () => {},
      info: (_fields: unknown, text?: string) => {
        if (text?.includes('half done') === true) swept.resolve()
      },
      child: () => log,
    }
    const clock = new ManualClock()
    await using open = await connectComponent(s3({ directory: path }), { clock, log: log as never })
    await open.api.upload('key', 'x')
    const left = join(path, 'objects', 'key@0123456789abcdef')
    await writeFile(left, 'half')
    const old = new Date(clock.now() - 30 * 3_600_000)
    await utimes(left, old, old)
    await clock.advance(6 * 3_600_000)
    await swept.promise
    assert.equal((await filesBelow(join(path, 'objects'))).includes('key@0123456789abcdef'), false)
    assert.equal(await open.api.exists('key'), true)
  } finally {
    await remove()
  }
})

test('many writers of the same keys in several components leave whole objects', limit, async () => {
  const { path, remove } = await ownDirectory()
  try {
    await using first = await connectComponent(s3({ directory: path }))
    await using second = await connectComponent(s3({ directory: path }))
    const body = (writer: number, round: number): string => `${writer}-${round}-`.repeat(2_000)
    const writing = [first, second].flatMap(({ api }, writer) =>
      Array.from({ length: 3 }, async (_, lane) => {
        for (let round = 0; round < 10; round++) {
          await api.upload(`dir/${lane}`, body(writer, round))
          if (round % 3 === 2) await api.delete(`dir/${lane}`)
          const found = await api.download(`dir/${lane}`).then(
            (download) => download.text(),
            (error: { code?: string }) => assert.equal(error.code, 'SLUICE_NOT_FOUND'),
          )
          if (found !== undefined) assert.match(found, /^(\d-\d-)\1{1999}$/)
        }
      }),
    )
    await Promise.all(writing)
    await first.api.sweep({ olderThan: 0 })
    const keys = await Array.fromAsync(first.api.list(), ({ key }) => key)
    assert.equal((await filesBelow(join(path, 'objects'))).length, keys.length * 2)
  } finally {
    await remove()
  }
})

test(
  'a directory that cannot be used says why, and is tried again',
  { ...limit, skip: process.getuid?.() === 0 ? 'root may write anywhere' : false },
  async () => {
    const { path, remove } = await ownDirectory()
    try {
      await chmod(path, 0o500)
      await assert.rejects(connectComponent(s3({ directory: join(path, 'below') })), {
        code: 'SLUICE_STORE_FAILED',
        hint: /S3_DIRECTORY/,
      })
      await chmod(path, 0o700)
      await using open = await connectComponent(s3({ directory: join(path, 'below') }))
      await open.check()
    } finally {
      await remove()
    }
  },
)

test('a file where the directory should be is refused with its name', limit, async () => {
  const { path, remove } = await ownDirectory()
  try {
    await writeFile(join(path, 'file'), '')
    await assert.rejects(connectComponent(s3({ directory: join(path, 'file') })), {
      code: 'SLUICE_STORE_FAILED',
    })
    await writeFile(join(path, 'objects'), '')
    await assert.rejects(connectComponent(s3({ directory: path })), {
      code: 'SLUICE_STORE_FAILED',
      message: /objects/,
    })
  } finally {
    await remove()
  }
})

test(
  'a segment of a key that is longer than names of files may be is SLUICE_UNSUPPORTED',
  limit,
  async () => {
    await using own = await directoryStage()
    await assert.rejects(Promise.resolve(own.api.upload('x'.repeat(300), 'x')), {
      code: 'SLUICE_UNSUPPORTED',
    })
    await own.api.upload(`${'x'.repeat(200)}/${'y'.repeat(200)}/${'z'.repeat(200)}`, 'x')
  },
)

test('bodies that are destroyed, read or left alone until the close leave no file open', limit, async () => {
  const { path, remove } = await ownDirectory()
  try {
    const open = await connectComponent(s3({ directory: path }))
    await open.api.upload('key', Buffer.alloc(300_000))
    const earlier = snapshotResources()
    for (let round = 0; round < 60; round++) {
      const download = await open.api.download('key', round % 2 === 0 ? {} : { range: { start: 5, end: 9 } })
      if (round % 3 === 0) await download.bytes()
      else if (round % 3 === 1) download.destroy()
      else for await (const _ of download.body) break
    }
    await assertNoLeaks(earlier)
    const left = await open.api.download('key')
    await open.close()
    await assert.rejects(left.bytes(), { code: 'SLUICE_CLOSED' })
    await assertNoLeaks(earlier)
  } finally {
    await remove()
  }
})
