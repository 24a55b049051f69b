/**
 * Selects by primary key through the component and through plain `pg`, at 50 callers and at one, on the same server:
 * the one at POSTGRES_DSN, or an embedded one in a temporary directory.
 *
 * Each caller waits for its answer before it asks again. `pg` is measured as its users have it (a pool of ten, a text
 * with parameters), and as one that knows it well would (named statements, a pipelining client).
 */
import pg from 'pg'
import { postgres } from '../src/components/postgres/index.ts'
import { connectComponent } from '../src/testing/connect-component.ts'
import { ratio, type Benchmark, type Subject } from './harness/benchmark.ts'
import { testServer } from './harness/database.ts'
import { versionOfOurs } from './harness/peers.ts'

const CALLERS = 50
const POOL = 10
const ROWS = 10_000
const TEXT = 'select id, name, created_at from sluice_bench where id = $1'

type Select = (id: number) => Promise<unknown>

export const benchmark: Benchmark = {
  doc: 'selects by key at 50 callers and at one, beside plain pg',
  peers: [],
  async run({ quick, rounds }) {
    await using server = await testServer()
    const db = await connectComponent(postgres({ ...server.options, maxOpenConns: POOL }), { name: 'db' })
    const pool = new pg.Pool({ ...server.config, max: POOL })
    const client = new pg.Client({ ...server.config, pipeline: true })
    await client.connect()
    try {
      await db.api.script(
        `drop table if exists sluice_bench;
         create table sluice_bench (id int primary key, name text, created_at timestamptz default now());
         insert into sluice_bench select n, 'name ' || n from generate_series(1, ${ROWS}) n;
         analyze sluice_bench`,
      )
      const ways: Readonly<Record<string, Select>> = {
        sluice: (id) => db.api.query(TEXT, [id]),
        'pg pool of 10': (id) => pool.query(TEXT, [id]),
        'pg pool of 10, named': (id) => pool.query({ name: 'bench', text: TEXT, values: [id] }),
        'pg client, pipelined, named': (id) => client.query({ name: 'bench', text: TEXT, values: [id] }),
      }
      const sliceMs = quick ? 500 : 1_200
      const subjects = Object.entries(ways).flatMap(([name, select]): Subject[] => [
        { name: `${name}, 50 callers`, unit: 'selects/s', measure: () => run(select, CALLERS, sliceMs) },
        { name: `${name}, 1 caller`, unit: 'selects/s', measure: () => run(select, 1, sliceMs) },
      ])
      const rows = await rounds(subjects)
      return {
        versions: { pg: versionOfOurs('pg'), postgresql: server.version },
        settings: { callers: CALLERS, pool: POOL, slice_ms: sliceMs },
        rows,
        ratios: {
          query_50_vs_pg_pool: ratio(rows, 'sluice, 50 callers', 'pg pool of 10, 50 callers'),
          query_1_vs_pg_pool: ratio(rows, 'sluice, 1 caller', 'pg pool of 10, 1 caller'),
          query_50_vs_pg_pool_named: ratio(rows, 'sluice, 50 callers', 'pg pool of 10, named, 50 callers'),
          query_50_vs_pg_pipeline: ratio(
            rows,
            'sluice, 50 callers',
            'pg client, pipelined, named, 50 callers',
          ),
        },
      }
    } finally {
      await db.api.execute('drop table if exists sluice_bench')
      await Promise.all([client.end(), pool.end(), db.close()])
    }
  },
}

/** Selects a second, over so many milliseconds. A number of them instead would take as long as the machine likes. */
async function run(select: Select, callers: number, sliceMs: number): Promise<number> {
  let done = 0
  const startedAt = performance.now()
  const until = startedAt + sliceMs
  const caller = async (): Promise<void> => {
    while (performance.now() < until) await select((done++ % ROWS) + 1)
  }
  await Promise.all(Array.from({ length: callers }, caller))
  return (done * 1_000) / (performance.now() - startedAt)
}
