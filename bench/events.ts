/**
 * Events that nobody does anything with: to three readers, beside pg-boss; to ten in one process; published while three
 * read; and what a publish costs the database with one, three and ten subscriptions.
 *
 * Deliveries are counted: an event to three readers is three. The time is from the first handler to the last stored end;
 * where publishing goes on meanwhile, from the first publish.
 */
import { ratio, type Benchmark, type Row, type Subject } from './harness/benchmark.ts'
import { freshDatabase, testServer } from './harness/database.ts'
import { openPgBoss, openSluice, type OpenTopic } from './queues/topics.ts'
import { costOfPublish } from './queues/publish-cost.ts'

const CALLERS = 100
const BATCH = 1_000

export const benchmark: Benchmark = {
  doc: 'events to 3 and to 10 subscriptions, beside pg-boss, and what a publish costs the database',
  peers: ['pg-boss'],
  async run({ quick, rounds, note }) {
    const count = quick ? 5_000 : 20_000
    const cost: Row[] = []
    await using server = await testServer()
    await using stack = new AsyncDisposableStack()
    const open = async (name: string, make: (dsn: string) => Promise<OpenTopic>): Promise<OpenTopic> => {
      const { dsn } = stack.use(await freshDatabase(server, `sluice_bench_events_${name}`))
      const topic = await make(dsn)
      stack.defer(() => topic.close())
      return topic
    }
    const plain = await open('plain', (dsn) => openSluice(dsn, 3))
    const batched = await open('batch', (dsn) => openSluice(dsn, 3, BATCH))
    const ten = await open('ten', (dsn) => openSluice(dsn, 10, BATCH))
    const live = await open('live', (dsn) => openSluice(dsn, 3, BATCH))
    const boss = await open('boss', (dsn) => openPgBoss(dsn, 3))
    const rows = [
      ...(await rounds(
        [
          deliveries('sluice, defaults, 3 subscriptions', plain, count, 3),
          deliveries('sluice, batch, 3 subscriptions', batched, count, 3),
          deliveries('sluice, batch, 10 subscriptions', ten, quick ? 20_000 : 50_000, 10),
          {
            name: 'sluice, published while 3 subscriptions read',
            unit: 'deliveries/s',
            async measure() {
              const startedAt = performance.now()
              await Promise.all([live.drain(count), live.fill(count)])
              return ((count * 3) / (performance.now() - startedAt)) * 1_000
            },
          },
          deliveries('pg-boss, 3 queues', boss, count, 3),
          publishes('sluice, publish by 100 callers', plain, quick),
          publishes('pg-boss, publish by 100 callers', boss, quick),
        ],
        { rounds: 5, quickRounds: 2 },
      )),
    ]
    for (const subscriptions of [1, 3, 10]) {
      note(`a publish with ${subscriptions} subscriptions`)
      await using own = await freshDatabase(server, 'sluice_bench_events_cost')
      const each = await costOfPublish(own.dsn, subscriptions, quick ? 200 : 1_000)
      const subject = `sluice, a publish, ${subscriptions} subscriptions`
      cost.push({ subject: `${subject}, statements`, value: each.statements, unit: 'statements' })
      cost.push({ subject: `${subject}, transactions`, value: each.transactions, unit: 'transactions' })
      cost.push({ subject: `${subject}, WAL`, value: each.walBytes, unit: 'bytes' })
    }
    const all = [...rows, ...cost]
    return {
      settings: { events: count, batch: BATCH, callers: CALLERS, server: server.version },
      rows: all,
      ratios: {
        events_3_vs_pg_boss: ratio(all, 'sluice, batch, 3 subscriptions', 'pg-boss, 3 queues'),
        events_3_defaults_vs_pg_boss: ratio(all, 'sluice, defaults, 3 subscriptions', 'pg-boss, 3 queues'),
        publish_vs_pg_boss: ratio(all, 'sluice, publish by 100 callers', 'pg-boss, publish by 100 callers'),
        publish_statements_10_vs_1: ofCost(all, 'statements'),
        publish_transactions_10_vs_1: ofCost(all, 'transactions'),
        publish_wal_10_vs_1: ofCost(all, 'WAL'),
      },
    }
  },
}

/** What a publish costs with ten subscriptions over what it costs with one. */
function ofCost(rows: readonly Row[], what: string): number {
  return ratio(
    rows,
    `sluice, a publish, 10 subscriptions, ${what}`,
    `sluice, a publish, 1 subscriptions, ${what}`,
  )
}

function deliveries(name: string, topic: OpenTopic, count: number, readers: number): Subject {
  return {
    name,
    unit: 'deliveries/s',
    async measure() {
      await topic.fill(count)
      return ((count * readers) / (await topic.drain(count))) * 1_000
    },
  }
}

/** Nobody reads meanwhile; what was published is read after the clock has stopped. */
function publishes(name: string, topic: OpenTopic, quick: boolean): Subject {
  const calls = quick ? 500 : 3_000
  return {
    name,
    unit: 'events/s',
    async measure() {
      let left = calls
      const caller = async (): Promise<void> => {
        while (left-- > 0) await topic.publish()
      }
      const startedAt = performance.now()
      await Promise.all(Array.from({ length: CALLERS }, caller))
      const elapsed = performance.now() - startedAt
      await topic.drain(calls)
      return (calls / elapsed) * 1_000
    },
  }
}
