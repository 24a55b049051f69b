/** Whatever a function of a schedule throws, its run ends; and where the end cannot be stored, that is told. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CronRun } from '../../src/cron/index.ts'
import { durableDatabase } from '../support/durable-database.ts'
import { eventually } from '../support/eventually.ts'
import { Ledger, listeningLogger, openNode, type Node } from './cluster-support.ts'

const options = { timeout: 120_000 }

const withMessage = (message: unknown): Error => Object.assign(new Error('x'), { message })
const trap = new Proxy(new Error('x'), {
  get() {
    throw new Error('trap')
  },
})

test('what no database can hold, and what is no error, ends its run all the same', options, async () => {
  await using own = await durableDatabase()
  const thrown: readonly [unknown, RegExp][] = [
    [new Error('a\0b'), /^Error: a\u{FFFD}b$/u],
    [new Error('😀'.repeat(1_200) + 'x'), /^Error: 😀/u],
    [new Error('half \ud83d'), /^Error: half \u{FFFD}$/u],
    [withMessage({ a: 1 }), /^Error: \[object Object\]$/],
    [withMessage(Symbol('s')), /^Error: Symbol\(s\)$/],
    [null, /^Error: non-error thrown: null/],
    [
      new Error('postgres://app:canary-4711@db/x', { cause: new Error('why') }),
      /@db\/x\ncaused by Error: why$/,
    ],
    [trap, /^/],
  ]
  await using node = await openNode(own.dsn, (api) => {
    for (const at of thrown.keys()) {
      api.schedule(`s${at}`, '@yearly', () => {
        throw thrown[at]![0]
      })
    }
  })
  for (const [at, [, text]] of thrown.entries()) {
    await node.api.runNow(`s${at}`)
    const run = await ended(node, `s${at}`)
    assert.equal(run.state, 'failed')
    assert.match(run.error ?? '', text)
    assert.doesNotMatch(run.error ?? '', /canary/)
  }
  await node.check()
})

for (const retries of [0, 1]) {
  test(
    `an error that the database refuses is stored as another text, retries: ${retries}`,
    options,
    async () => {
      await using own = await durableDatabase()
      const errors = new Ledger()
      const log = listeningLogger('error', (text) => errors.add(text))
      const fail = ({ attempt }: { attempt: number }): void => {
        throw new Error(`bad ${attempt}`)
      }
      await using node = await openNode(own.dsn, (api) => api.schedule('s', '@yearly', fail, { retries }), {
        log,
      })
      await node.db.execute(
        `alter table sluice.cron_run add constraint taken check (err not like 'Error: bad%')`,
      )
      await node.api.runNow('s')
      const run = await ended(node, 's')
      assert.equal(run.attempt, retries + 1)
      assert.match(
        run.error ?? '',
        /^SLUICE_QUERY: the error of the run could not be stored .* \(SQLSTATE 23514\)$/,
      )
      const told = errors.lines.filter((line) => line.includes('could not be stored'))
      assert.deepEqual(told, ['the end of a run of "s" could not be stored, and is tried again'])
      await node.check()
    },
  )
}

test(
  'an end that is taken in no way is told in the log and by the check, until it is taken',
  options,
  async () => {
    await using own = await durableDatabase()
    const errors = new Ledger()
    const log = listeningLogger('error', (text) => errors.add(text))
    await using node = await openNode(own.dsn, (api) => api.schedule('s', '@yearly', () => {}), { log })
    await node.db.execute(`alter table sluice.cron_run add constraint taken check (state <> 'done')`)
    await node.api.runNow('s')
    await errors.until((lines) => lines.length > 0)
    const refused = await eventually(() =>
      node.check().then(
        () => undefined,
        (error: unknown) => error as Error,
      ),
    )
    assert.match(refused.message, /^the end of a run of "s" could not be stored \d+ times/)
    assert.equal(errors.lines.length, 1)
    await node.db.execute('alter table sluice.cron_run drop constraint taken')
    assert.equal((await ended(node, 's')).state, 'done')
    await eventually(() =>
      node.check().then(
        () => true,
        () => undefined,
      ),
    )
  },
)

function ended(node: Node, name: string): Promise<CronRun> {
  return eventually(async () => {
    const [run] = await node.api.history(name)
    return run?.finishedAt === undefined ? undefined : run
  })
}
