/**
 * Processes that die or freeze in the middle of a run. They are found dead meanwhile, so the tests wait together. With
 * SLUICE_SOAK=1 at every moment, and frozen for longer than their runs are kept for them.
 */
import assert from 'node:assert/strict'
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { suite, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { silentLogger, type Logger } from '../../src/telemetry/log.ts'
import { durableDatabase } from '../support/durable-database.ts'
import { eventually } from '../support/eventually.ts'
import { soakCycles } from '../support/soak.ts'
import { Ledger, openNode, type Node } from './cluster-support.ts'

const options = { timeout: 240_000 }
/** It is a hint that tells of runs that are lost. */
const POLL = '30s'
const program = fileURLToPath(new URL('./crash-program.ts', import.meta.url))

interface Child extends AsyncDisposable {
  readonly process: ChildProcess
  readonly said: Ledger
}

function start(...args: readonly string[]): Child {
  const child = fork(program, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  const said = new Ledger()
  child.on('message', (message) => said.add(message as string))
  const exited = once(child, 'exit')
  void exited.then(() => said.add('exit'))
  return {
    process: child,
    said,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await exited
    },
  }
}

async function prepare(dsn: string, log: Logger = silentLogger): Promise<Node> {
  const node = await openNode(dsn, () => {}, { log, pollInterval: POLL })
  // The tables of the engine are there, and the one of the effects.
  await node.db.execute('create table effect (slot timestamptz, attempt int, pid int)')
  return node
}

/** Whoever finds that the process of a run is lost says so, and that is kept. */
function lostRuns(ledger: Ledger): Logger {
  const warn = (_: unknown, text = ''): void => {
    if (text.startsWith('the process of a run')) ledger.add(text)
  }
  const log: Logger = { debug() {}, info() {}, error() {}, warn, child: () => log }
  return log
}

interface Expected {
  readonly effects: number
  readonly state: string
  readonly error: string | undefined
}

const CASES: readonly (readonly [at: string, retries: number, expected: Expected])[] = [
  ['cron.claimed', 1, { effects: 1, state: 'done', error: undefined }],
  ['cron.ran', 0, { effects: 1, state: 'failed', error: 'worker lost' }],
  ['cron.finished', 1, { effects: 1, state: 'done', error: undefined }],
  ['cron.claimed', 0, { effects: 0, state: 'failed', error: 'worker lost' }],
  ['cron.ran', 1, { effects: 2, state: 'done', error: undefined }],
]

suite('a process', { concurrency: 6, ...options }, () => {
  for (const [moment, retries, expected] of CASES.slice(0, soakCycles(3, CASES.length))) {
    test(
      `killed at ${moment} with ${retries} retries: ${expected.effects} effects, ${expected.state}`,
      options,
      async () => {
        await using own = await durableDatabase()
        const lost = new Ledger()
        const log = lostRuns(lost)
        await using observer = await prepare(own.dsn, log)
        {
          await using victim = start(own.dsn, '@yearly', String(retries), moment)
          await victim.said.until((lines) => lines.includes('exit'))
        }
        const ran = Promise.withResolvers<void>()
        await using heir = await openNode(own.dsn, () => {}, { log, pollInterval: POLL })
        heir.api.schedule(
          'work',
          '@yearly',
          async ({ slot, attempt }) => {
            await heir.db.execute('insert into effect values ($1, $2, 0)', [slot, attempt])
            ran.resolve()
          },
          { retries },
        )
        if (moment !== 'cron.finished') await lost.until((lines) => lines.length > 0)
        if (moment !== 'cron.finished' && retries > 0) await ran.promise
        // A run of its own behind it: its end says that the one before was written down.
        const marked = Promise.withResolvers<void>()
        heir.api.schedule('mark', '@yearly', () => marked.resolve())
        await heir.api.runNow('mark')
        await marked.promise
        await heir.stopIntake()
        const effects = await observer.db.query('select * from effect')
        assert.equal(effects.length, expected.effects)
        const [run] = await observer.api.history('work')
        if (retries === 0 || moment === 'cron.finished') {
          assert.equal(run?.state, expected.state)
          assert.equal(run?.error, expected.error)
        } else {
          assert.equal(run?.attempt, 2)
        }
      },
    )
  }

  test('killed before a claim: the slot is taken by another', options, async () => {
    await using own = await durableDatabase()
    await using observer = await prepare(own.dsn)
    {
      await using victim = start(own.dsn, '@yearly', '0')
      await victim.said.until((lines) => lines.includes('ready') && lines.includes('ran'))
      victim.process.kill('SIGKILL')
      await victim.said.until((lines) => lines.includes('exit'))
    }
    await observer.api.runNow('work', { key: 'second' })
    await using heir = start(own.dsn, '@yearly', '0')
    await heir.said.until((lines) => lines.includes('ran'))
    const runs = await observer.db.query('select distinct pid from effect where pid = $1', [heir.process.pid])
    assert.equal(runs.length, 1)
  })

  test('frozen past its lease and come back: each slot has one effect', options, async () => {
    await using own = await durableDatabase()
    await using observer = await prepare(own.dsn)
    await using frozen = start(own.dsn, '* * * * * *', '0')
    await frozen.said.until((lines) => lines.filter((line) => line === 'ran').length >= 2)
    await using other = start(own.dsn, '* * * * * *', '0')
    await other.said.until((lines) => lines.includes('ran'))
    frozen.process.kill('SIGSTOP')
    await eventually(() => observer.db.queryOne('select id from sluice.worker where dead_at is not null'))
    // The other works on meanwhile.
    const before = other.said.lines.length
    await other.said.until((lines) => lines.length >= before + soakCycles(1, 8))
    const while_ = frozen.said.lines.length
    frozen.process.kill('SIGCONT')
    await Promise.race([
      frozen.said.until((lines) => lines.length > while_ + 1),
      other.said.until((lines) => lines.length >= before + soakCycles(4, 20)),
    ])
    const twice = await observer.db.query('select slot from effect group by slot having count(*) > 1')
    assert.deepEqual(twice, [])
  })
})
