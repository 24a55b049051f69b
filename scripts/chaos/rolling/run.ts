/**
 * A rolling restart, again and again, under load: three processes of one service are stopped and started one after the
 * other while customers send orders. No request may fail; each order is stored, done once and in its customer's order;
 * each second is written down once.
 */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { writeFile } from 'node:fs/promises'
import pg from 'pg'
import { openDatabase } from '../database.ts'
import { EFFECTS_TABLE, ORDERS_TABLE } from '../programs/tables.ts'
import { stagePrograms } from '../stage.ts'
import { Balancer } from './balancer.ts'
import { checkRolling, type RollingVerdict } from './check.ts'
import { Replica } from './replica.ts'

export interface RollingOptions {
  /** How often all of them are restarted. */
  readonly restarts: number
  readonly replicas: number
  readonly customers: number
  readonly dsn: string | undefined
  readonly log: (text: string) => void
}

export interface RollingReport extends RollingVerdict {
  readonly restarts: number
  readonly seconds: number
  /** Processes that did not end by themselves with exit code 0. */
  readonly badExits: readonly string[]
}

const PROGRAM = new URL('../programs/rolling-service.ts', import.meta.url)
/** Numbered by arrival, and without a unique index: what is done twice, or out of order, must show. */
const TABLES = `${EFFECTS_TABLE}; ${ORDERS_TABLE}; alter table chaos_effects add column n bigint generated always as identity;
  create table chaos_slots (slot timestamptz not null)`
const PAUSE_MS = 10
const DRAIN_MS = 60_000

export async function runRolling(options: RollingOptions): Promise<RollingReport> {
  const { restarts, log } = options
  const startedAt = Date.now()
  await using stage = await stagePrograms({ service: PROGRAM })
  const file = join(stage.directory, 'facts.jsonl')
  await writeFile(file, '')
  await using database = await openDatabase(options.dsn)
  await using stack = new AsyncDisposableStack()
  const db = new pg.Client({ connectionString: database.dsn })
  await db.connect()
  stack.defer(() => db.end())
  await db.query(TABLES)
  const env = { CHAOS_DSN: database.dsn, CHAOS_FILE: file }
  const replicas = Array.from({ length: options.replicas }, () => new Replica(stage.program('service'), env))
  stack.defer(async () => void (await Promise.all(replicas.map((replica) => replica.stop()))))
  await Promise.all(replicas.map((replica) => replica.start()))
  const balancer = stack.use(new Balancer(replicas))

  const taken: string[] = []
  const failed: string[] = []
  let isOver = false
  const customer = async (name: string): Promise<void> => {
    for (let n = 0; !isOver; n += 1) {
      const id = `${name}-${n}`
      try {
        const status = await balancer.post('/orders', { id, customer: name })
        if (status === 201) taken.push(id)
        else failed.push(`${id}: status ${status}`)
      } catch (error) {
        failed.push(`${id}: ${String(error)}`)
      }
      await sleep(PAUSE_MS)
    }
  }
  const customers = Array.from({ length: options.customers }, (_, n) => customer(`c${n}`))
  const badExits: string[] = []
  for (let round = 1; round <= restarts; round += 1) {
    for (const [place, replica] of replicas.entries()) {
      const code = await replica.stop()
      if (code !== 0) badExits.push(`restart ${round} of process ${place}: exit code ${code}`)
      await replica.start()
    }
    if (round % 5 === 0)
      log(`${round} of ${restarts} rounds, ${taken.length} orders, ${failed.length} failed`)
  }
  isOver = true
  await Promise.all(customers)
  await drain(db, taken.length)
  const seconds = Math.round((Date.now() - startedAt) / 1_000)
  return { restarts, seconds, badExits, ...(await checkRolling(db, taken, failed)) }
}

/** Until every order is done, or there has been time enough for that. */
async function drain(db: pg.Client, orders: number): Promise<void> {
  const until = Date.now() + DRAIN_MS
  while (Date.now() < until) {
    const { rows } = await db.query<{ n: number }>('select count(distinct id)::int as n from chaos_effects')
    if ((rows[0]?.n ?? 0) >= orders) return
    await sleep(100)
  }
}
