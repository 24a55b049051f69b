/** Processes that are killed or stopped while they read. They are found dead meanwhile, so the tests wait together. */
import assert from 'node:assert/strict'
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { suite, test } from 'node:test'
import { event } from '../../src/events/index.ts'
import { anything, place, until, type Peer, type Place } from './support.ts'

const Numbered = event('crash.numbered', anything<{ n: number }>())
const options = { timeout: 150_000 }
const program = new URL('./reader-program.ts', import.meta.url)

interface Reader extends AsyncDisposable {
  readonly child: ChildProcess
  /** Resolves with the first message that says so. */
  said(what: 'ready' | 'handled' | 'begun', count?: number): Promise<void>
  kill(signal: NodeJS.Signals): void
}

function reader(here: Place, mode: string): Reader {
  const child = fork(program, [here.dsn, mode], {
    execArgv: ['--conditions=sluice-source'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const counts = new Map<string, number>()
  const waits = new Set<() => void>()
  const tell = (): void => waits.forEach((wait) => wait())
  child.once('exit', tell)
  child.on('message', (message: object) => {
    for (const what of Object.keys(message)) counts.set(what, (counts.get(what) ?? 0) + 1)
    tell()
  })
  return {
    child,
    said: (what, count = 1) =>
      new Promise((resolve, reject) => {
        const check = (): void => {
          if ((counts.get(what) ?? 0) >= count) resolve()
          else if (child.exitCode !== null) reject(new Error(`the reader ended with ${child.exitCode}`))
          else return
          waits.delete(check)
        }
        waits.add(check)
        check()
      }),
    kill: (signal) => void child.kill(signal),
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return
      const gone = once(child, 'exit')
      child.kill('SIGCONT')
      child.kill('SIGKILL')
      await gone
    },
  }
}

const effects = (peer: Peer): PromiseLike<{ n: number; times: number }[]> =>
  peer.db.query('select n, count(*)::int as times from effects group by n order by n')

async function prepare(here: Place): Promise<Peer> {
  const peer = await here.peer()
  await peer.db.query('create table effects (event bigint not null, n int not null)')
  return peer
}

const publish = (peer: Peer, from: number, count: number): PromiseLike<unknown> =>
  peer.events.publishMany(
    Numbered,
    Array.from({ length: count }, (_, n) => ({ data: { n: from + n } })),
  )

suite('readers', { concurrency: 4 }, () => {
  test(
    'a reader that is killed between handler and cursor loses nothing, and another goes on',
    options,
    async () => {
      await using here = await place()
      const peer = await prepare(here)
      await publish(peer, 0, 300)
      {
        await using first = reader(here, 'plain')
        await first.said('handled', 20)
        first.kill('SIGKILL')
        await once(first.child, 'exit')
      }
      await using second = reader(here, 'plain')
      await second.said('ready')
      const all = await until(
        () => effects(peer),
        (rows) => rows.length === 300,
      )
      // What was done and not written down came again: at most what may be unsaved, and nothing is missing.
      assert.deepEqual(
        all.map(({ n }) => n),
        Array.from({ length: 300 }, (_, n) => n),
      )
    },
  )

  test(
    'a reader that is killed in the middle has each effect of its transactions once',
    options,
    async () => {
      await using here = await place()
      const peer = await prepare(here)
      await publish(peer, 0, 120)
      for (let kills = 0; kills < 2; kills++) {
        await using killed = reader(here, 'transaction')
        await killed.said('handled', 10)
        killed.kill('SIGKILL')
        await once(killed.child, 'exit')
      }
      await using last = reader(here, 'transaction')
      await last.said('ready')
      const all = await until(
        () => effects(peer),
        (rows) => rows.length === 120,
      )
      assert.deepEqual(
        all.filter(({ times }) => times !== 1),
        [],
      )
    },
  )

  test('a reader that is stopped past its lease moves nothing when it goes on', options, async () => {
    await using here = await place()
    const peer = await prepare(here)
    await using frozen = reader(here, 'transaction')
    await frozen.said('ready')
    await publish(peer, 0, 50)
    await frozen.said('handled', 5)
    frozen.kill('SIGSTOP')
    await using other = reader(here, 'transaction')
    await other.said('ready')
    // The other takes over when the stopped one counts as dead.
    await other.said('handled', 1)
    frozen.kill('SIGCONT')
    await publish(peer, 50, 50)
    const all = await until(
      () => effects(peer),
      (rows) => rows.length === 100,
    )
    assert.deepEqual(
      all.filter(({ times }) => times !== 1),
      [],
    )
  })

  test(
    'an event that ends its process each time is a dead letter after its attempts, and the others are done',
    options,
    async () => {
      await using here = await place()
      const peer = await prepare(here)
      await publish(peer, 0, 10)
      const dead = until(
        () => peer.events.deadLetters.list(),
        (list) => list.length > 0,
      ).then(() => 'dead')
      for (let crashes = 0; ; crashes++) {
        assert.ok(crashes <= 6, 'it goes on for ever')
        await using victim = reader(here, 'poison')
        const ended = once(victim.child, 'exit').then(() => 'ended')
        if ((await Promise.race([ended, dead])) === 'dead') break
      }
      const [letter] = await peer.events.deadLetters.list()
      assert.deepEqual(letter?.data, { n: 3 })
      // The last one may have been ended before it came to the others.
      await using rest = reader(here, 'plain')
      await rest.said('ready')
      const done = await until(
        () => effects(peer),
        (rows) => rows.length === 9,
      )
      assert.deepEqual(
        done.map(({ n }) => n),
        [0, 1, 2, 4, 5, 6, 7, 8, 9],
      )
    },
  )
})
