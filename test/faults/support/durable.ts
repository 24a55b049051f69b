/** Durable work of each kind over one pair of tables, in this process or in one of its own. */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { after, before } from 'node:test'
import { z } from 'zod'
import { postgres, type Postgres, type Transaction } from '../../../src/components/postgres/index.ts'
import type { Clock } from '../../../src/core/clock.ts'
import { cron } from '../../../src/cron/index.ts'
import { event, events } from '../../../src/events/index.ts'
import { job, jobs } from '../../../src/jobs/index.ts'
import { stagePrograms, type Stage } from '../../../scripts/chaos/stage.ts'
import { connectComponent } from '../../../src/testing/connect-component.ts'

/** Handlers of the plain ones have no transaction: their effect is there before the end of their work is written down. */
export type Kind = 'jobs' | 'keyed' | 'plain jobs' | 'events' | 'plain events' | 'parked events' | 'cron'

/** What is handed in. `fails` fails at its first attempt; of events that are to be parked, at as many as are made at once. */
export const ORDERS = ['one', 'fails', 'two', 'three'] as const

const data = z.object({ id: z.string() })
const backoff = { base: '10ms', max: '50ms' } as const
/** With room for so many a worker takes them by lots; those with a key are taken one by one. */
const Work = job('durable.work', data, { attempts: 10, backoff, concurrency: 60 })
const Happened = event('durable.happened', data)

export interface Durable extends AsyncDisposable {
  readonly db: Postgres
  /** Makes the tables, once for all processes. */
  prepare(): Promise<void>
  /** An order and its work, in one transaction. */
  handIn(id: string): Promise<void>
  /** Begins to work. */
  work(): Promise<void>
}

export interface DurableOptions {
  readonly shutdownTimeout?: string
  /** Of jobs and events. @default theirs */
  readonly pollInterval?: string
  /** Of an event. @default 10 */
  readonly attempts?: number
  /** Behind a pooler that hands each transaction to another session. @default false */
  readonly pooled?: boolean
  /** What this process takes for the time. @default the system's */
  readonly clock?: Clock
  /** A part of each handler, before its effect. */
  readonly during?: (id: string, signal: AbortSignal) => Promise<void> | void
}

const ATTEMPTS_BEFORE_PARKED = 3
const TABLES = ['create table orders (id text not null)', 'create table effects (id text not null)']

export async function openDurable(dsn: string, kind: Kind, options: DurableOptions = {}): Promise<Durable> {
  const { during = () => {}, clock } = options
  const poll = options.pollInterval === undefined ? {} : { pollInterval: options.pollInterval }
  const more = clock === undefined ? {} : { clock }
  await using stack = new AsyncDisposableStack()
  const { api: db } = stack.use(
    await connectComponent(
      postgres({ dsn, maxOpenConns: 3, ...(options.pooled === true ? { preparedStatements: false } : {}) }),
      { name: 'db', ...more },
    ),
  )
  const required = { required: { postgres: db }, ...more }
  const handle = async (
    id: string,
    attempt: number,
    signal: AbortSignal,
    tx?: Pick<Transaction, 'execute'>,
  ): Promise<void> => {
    await during(id, signal)
    if (id === 'fails' && attempt <= failing) throw new Error('fails at first')
    await tx?.execute('insert into effects (id) values ($1)', [id])
  }
  const inOrder = (id: string, put: (tx: Transaction) => PromiseLike<unknown>): Promise<void> =>
    db.transaction(async (tx) => {
      await tx.execute('insert into orders (id) values ($1)', [id])
      await put(tx)
    })
  const failing = kind === 'parked events' ? ATTEMPTS_BEFORE_PARKED : 1
  const key = kind === 'keyed' || kind === 'parked events' ? { key: 'k' } : {}
  const isPlain = kind === 'plain jobs' || kind === 'plain events'
  let parts: Pick<Durable, 'handIn' | 'work'>
  if (kind === 'events' || kind === 'plain events' || kind === 'parked events') {
    const log = stack.use(await connectComponent(events(poll), required))
    parts = {
      handIn: (id) => inOrder(id, (tx) => log.api.publish(Happened, { id }, { tx, ...key })),
      work: () =>
        log.api
          .subscribe(
            Happened,
            'durable',
            (run) => handle(run.data.id, run.attempt, run.signal, isPlain ? db : run.tx),
            { transaction: !isPlain, from: 'beginning', attempts: options.attempts ?? 10, backoff },
          )
          .ready(),
    }
  } else if (kind === 'cron') {
    const own = stack.use(await connectComponent(cron({ pollInterval: '250ms' }), required))
    parts = {
      async handIn(id) {
        await db.execute('insert into orders (id) values ($1)', [id])
        await own.api.runNow('durable', { key: id })
        // Slots are told in milliseconds, and the next one's is to be another: their effects are named after them.
        const now = Date.now()
        while (Date.now() <= now + 1);
      },
      async work() {
        const options = { retries: 10, transaction: true, overlap: 'queue' } as const
        own.api.schedule(
          'durable',
          '@yearly',
          async ({ slot, signal, tx }) => {
            // Runs by hand have no data: the slot is their name.
            await during('', signal)
            await tx?.execute('insert into effects (id) values ($1)', [slot.toISOString()])
          },
          options,
        )
      },
    }
  } else {
    const queue = stack.use(
      await connectComponent(
        jobs({ ...poll, ...(options.shutdownTimeout && { shutdownTimeout: options.shutdownTimeout }) }),
        required,
      ),
    )
    parts = {
      handIn: (id) => inOrder(id, (tx) => queue.api.enqueue(Work, { id }, { tx, ...key })),
      work: async () => {
        queue.api.handle(Work, (run) => handle(run.data.id, run.attempt, run.signal, isPlain ? db : run.tx), {
          transaction: !isPlain,
        })
      },
    }
  }
  const owned = stack.move()
  return {
    db,
    ...parts,
    async prepare() {
      for (const table of TABLES) await db.execute(table)
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

export interface DurableProgram extends AsyncDisposable {
  readonly child: ChildProcess
  /** Resolves with a message, or `exit`. */
  said(what: 'ready' | 'begun' | 'answered'): Promise<void>
  /** Resolves when it has ended, with the signal or the code. */
  readonly exited: Promise<string>
}

export interface StartOptions {
  /** Named moment at which it ends itself. @default never */
  readonly moment?: string
  /** The time of it, counted from 1. @default 1 */
  readonly count?: number
  readonly env?: Readonly<Record<string, string>>
}

/** Starts it as a process. Its program is put together once a test file: a start then takes half of the time. */
export function durablePrograms(): (dsn: string, kind: Kind, options?: StartOptions) => DurableProgram {
  let stage: Stage | undefined
  before(async () => {
    stage = await stagePrograms({ durable: new URL('../programs/durable.ts', import.meta.url) })
  })
  after(() => stage?.[Symbol.asyncDispose]())
  return (dsn, kind, options = {}) => {
    if (stage === undefined) throw new Error('the program has not been put together')
    return start(stage.program('durable'), dsn, kind, options)
  }
}

function start(
  file: string,
  dsn: string,
  kind: Kind,
  { moment = '', count = 1, env = {} }: StartOptions,
): DurableProgram {
  const child = fork(file, [dsn, kind, moment, String(count)], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: { ...process.env, ...env },
  })
  const heard = new Set<string>()
  const waits = new Set<() => void>()
  const hear = (what: string): void => {
    heard.add(what)
    for (const wait of waits) wait()
  }
  child.on('message', (what: string) => hear(what))
  const exited = once(child, 'exit').then(([code, signal]) => {
    hear('exit')
    return String((signal as string | null) ?? code)
  })
  return {
    child,
    said: (what) =>
      new Promise((resolve, reject) => {
        const wait = (): void => {
          if (!heard.has(what) && !heard.has('exit')) return
          waits.delete(wait)
          if (heard.has(what)) resolve()
          else reject(new Error(`it ended without saying "${what}"`))
        }
        waits.add(wait)
        wait()
      }),
    exited,
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGCONT')
        child.kill('SIGKILL')
      }
      await exited
    },
  }
}

/** As others find it seconds later, which is not what is looked at here: its lock is free, and it is dead. */
export async function bury({ db }: Durable): Promise<void> {
  await db.execute(
    `update sluice.worker set dead_at = clock_timestamp() - interval '1 minute'
     where dead_at is null and (info ->> 'pid')::int <> $1`,
    [process.pid],
  )
}
