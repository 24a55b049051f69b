/** docs/benchmarks.md from reports of benchmarks, with the targets that each is held to. */
import type { Report, Row } from '../bench/harness/benchmark.ts'

export interface Target {
  readonly ratio: string
  /** 'most': at most this; 'least': at least this. */
  readonly bound: 'most' | 'least'
  readonly value: number
}

/** As `Target`, of one row, in the unit of that row. */
export interface Wanted {
  readonly subject: string
  readonly bound: 'most' | 'least'
  readonly value: number
}

export interface Chapter {
  readonly title: string
  /** What is measured, and what to make of it. */
  readonly text: string
  readonly targets: readonly Target[]
  /** Of figures that are no ratios. @default none */
  readonly wanted?: readonly Wanted[]
}

/** By the name of the benchmark, in the order of the page. */
export const CHAPTERS: Readonly<Record<string, Chapter>> = {
  pool: {
    title: 'Worker pool',
    text: "A million async tasks that do nothing, ten at a time. `all`: all handed in at once under `Promise.all`; `loop`: ten loops that await each task; `post`: no result wanted. Each subject is a process of its own, and begins each round with an empty heap and warm code. Ratios are our time over the peer's.",
    targets: [
      { ratio: 'pool_all_vs_fastq_promise', bound: 'most', value: 0.6 },
      { ratio: 'pool_loop_vs_fastq_promise', bound: 'most', value: 0.9 },
      { ratio: 'pool_post_vs_fastq_callback', bound: 'most', value: 0.6 },
    ],
  },
  operate: {
    title: 'The way in: deadline, slot, breaker, retry',
    text: "What the guard around every operation costs, around a function that does nothing, with no OpenTelemetry SDK. Ratios are our time over the peer's.",
    targets: [],
    wanted: [
      { subject: 'sluice, 1 caller', bound: 'most', value: 1_500 },
      { subject: 'sluice, 50 callers', bound: 'most', value: 1_500 },
    ],
  },
  postgres: {
    title: 'PostgreSQL',
    text: "Selects by primary key on one server, beside a plain `pg` pool of ten. Ratios are our throughput over the peer's.",
    targets: [
      { ratio: 'query_50_vs_pg_pool', bound: 'least', value: 1.5 },
      { ratio: 'query_1_vs_pg_pool', bound: 'least', value: 0.9 },
    ],
  },
  redis: {
    title: 'Redis',
    text: "100 callers over one connection each. `raw` is node-redis as its users have it, with its default deadline of a command (5 s), which ours has as well: by one timer for all calls in place of one each. `raw_no_deadline` is node-redis with that switched off, which then waits for ever for a frozen server; its figures say what all the rest costs (slot, breaker, metrics, key prefix), and have no target. Ratios are our throughput over the peer's.",
    targets: [
      { ratio: 'redis_get_vs_raw', bound: 'least', value: 0.9 },
      { ratio: 'redis_set_vs_raw', bound: 'least', value: 0.9 },
    ],
  },
  replicator: {
    title: 'Replicator',
    text: "A stream of full states over a WebSocket on loopback into Redis: entities of 300 bytes, 20,000 keys, source, Redis and receivers as processes of their own. Ours stores each batch as one unit that checks its fence, compares versions and keeps the cursor; the plain SETs do none of it. On two cores the three processes of ours share what receiving and parsing has for two; the rows of processor time say what each takes of it, and [the guide](guides/replicator.md#where-the-time-of-a-message-goes) where it goes, and what would take less. Ratios are our throughput over the peer's.",
    targets: [
      { ratio: 'applied_vs_parse', bound: 'least', value: 0.85 },
      { ratio: 'applied_vs_naive', bound: 'least', value: 10 },
    ],
  },
  kafka: {
    title: 'Kafka',
    text: "Messages of 300 bytes in batches of 500, four requests in flight, all replicas awaited; single publishes of 100 callers, gathered, beside one awaited send after another; and a consumer that commits every half second, beside the raw stream with its own commits. Ratios are our throughput over the peer's.",
    targets: [
      { ratio: 'kafka_produce_vs_raw', bound: 'least', value: 0.9 },
      { ratio: 'kafka_produce_vs_kafkajs', bound: 'least', value: 1 },
      { ratio: 'kafka_gathered_vs_awaited', bound: 'least', value: 10 },
      { ratio: 'kafka_consume_vs_raw', bound: 'least', value: 0.8 },
    ],
  },
  mongo: {
    title: 'MongoDB',
    text: "Documents of 250 bytes: batches of 500 written and read, four at once; single calls of 50 callers; all documents as a stream; beside the plain driver with as many connections. Where the server is the stand-in of `npm run services` (`stand_in`), the rates are its own, and the ratio is of what either client adds. Ratios are our throughput over the peer's.",
    targets: [
      { ratio: 'mongo_insert_batch_vs_raw', bound: 'least', value: 0.95 },
      { ratio: 'mongo_find_batch_vs_raw', bound: 'least', value: 0.95 },
    ],
  },
  rabbitmq: {
    title: 'RabbitMQ',
    text: "Persistent, mandatory messages of 210 bytes into a quorum queue, a thousand under way, each confirmed; and handlers that do nothing, each acknowledged; beside the raw driver on the same broker. Ratios are our throughput over the peer's.",
    targets: [
      { ratio: 'rabbitmq_publish_vs_raw', bound: 'least', value: 1 },
      { ratio: 'rabbitmq_consume_vs_raw', bound: 'least', value: 0.9 },
    ],
  },
  relay: {
    title: 'Relay',
    text: "Events of 210 bytes with keys that wait in the log, from when the relay may begin to the last confirm: to RabbitMQ beside the plain driver with a thousand messages under way, to Kafka beside the plain driver with two requests at a time, one for each half of the keys, as their order needs it; the same bytes and headers into the same queue and topic. Then single events, ten milliseconds apart, from the commit in one service to the handler of another, which has a database of its own: the way goes through two logs and a broker. Ratios are our throughput over the driver's.",
    targets: [{ ratio: 'relay_rabbitmq_vs_raw', bound: 'least', value: 0.9 }],
    wanted: [
      { subject: 'sluice relay to Kafka', bound: 'least', value: 40_000 },
      { subject: 'commit to handler through rabbitmq, p50', bound: 'most', value: 10 },
      { subject: 'commit to handler through rabbitmq, p99', bound: 'most', value: 50 },
      { subject: 'commit to handler through kafka, p50', bound: 'most', value: 10 },
      { subject: 'commit to handler through kafka, p99', bound: 'most', value: 50 },
    ],
  },
  s3: {
    title: 'S3',
    text: "Objects of 1 KB, 32 requests at once, beside the plain SDK: on S3Mock, whose own pace is the limit, and on a sink that answers at once, where the client is. Then one stream of generated bytes in parts of 8 MB, three at once, beside lib-storage: to the sink, a process that speaks the protocol and throws away what it is sent, counted. `grown by at most` is the highest resident size of the uploading process over that before; the stream gives one buffer again and again, as what the collector leaves of a source comes on top. Ratios are our throughput over the peer's.",
    targets: [
      { ratio: 's3_upload_batch_vs_raw', bound: 'least', value: 0.95 },
      { ratio: 's3_download_vs_raw', bound: 'least', value: 0.95 },
    ],
    wanted: [{ subject: 'sluice upload of a stream, grown by at most', bound: 'most', value: 64 }],
  },
  start: {
    title: 'Start',
    text: "From the start of the process to the first 200 on `/livez`, with three components whose servers do not answer; compiled JavaScript. Ratios are our time over the peer's.",
    targets: [{ ratio: 'start_vs_fastify', bound: 'most', value: 1.2 }],
    wanted: [{ subject: 'sluice, gap beyond fastify', bound: 'most', value: 20 }],
  },
  hello: {
    title: 'Hello world',
    text: "One route through the app and through bare Fastify, each in a process of its own, asked in turns of a second by a client in another. The ratios are of throughput (ours over the peer's), and of processor time a request (ours over the peer's), which other work on the machine disturbs less.",
    targets: [{ ratio: 'hello_vs_fastify', bound: 'least', value: 0.95 }],
  },
  jobs: {
    title: 'Jobs',
    text: "Jobs that do nothing, from the first handler to the last end that is stored, beside other queues at their best settings, on the same server. Ratios are our throughput over the peer's.",
    targets: [
      { ratio: 'jobs_vs_graphile_worker', bound: 'least', value: 3 },
      { ratio: 'jobs_vs_pg_boss', bound: 'least', value: 1 },
      { ratio: 'jobs_vs_bullmq', bound: 'least', value: 1 },
      { ratio: 'jobs_defaults_vs_graphile_worker', bound: 'least', value: 1.5 },
      { ratio: 'bulk_vs_graphile_worker', bound: 'least', value: 2 },
      { ratio: 'enqueue_100_callers_vs_1', bound: 'least', value: 30 },
    ],
  },
  events: {
    title: 'Events',
    text: "Events whose handlers do nothing. An event to three subscriptions is three deliveries; pg-boss gets it by three queues. Ratios are our throughput over the peer's; those of a publish are what it costs the database with ten subscriptions over one.",
    targets: [
      { ratio: 'events_3_vs_pg_boss', bound: 'least', value: 5 },
      { ratio: 'publish_statements_10_vs_1', bound: 'most', value: 1.1 },
      { ratio: 'publish_transactions_10_vs_1', bound: 'most', value: 1.1 },
      { ratio: 'publish_wal_10_vs_1', bound: 'most', value: 1.1 },
    ],
  },
  backlog: {
    title: 'Jobs behind a backlog',
    text: 'Jobs that do nothing out of a queue that holds many more, ready and delayed; then under a transaction that stays open, which keeps the server from clearing away what is done. Ratios are the throughput over that of the same queue when it was empty.',
    targets: [
      { ratio: 'claim_p99_ms', bound: 'most', value: 50 },
      { ratio: 'backlog_vs_empty', bound: 'least', value: 0.7 },
      { ratio: 'old_transaction_vs_empty', bound: 'least', value: 0.5 },
    ],
  },
  scaling: {
    title: 'Jobs in several processes',
    text: 'One queue, worked off by 1, 2 and 4 processes: jobs that do nothing, whose limit is the processors that workers and server share, and jobs that wait for ten milliseconds, twenty at once in each process, whose limit is those slots. Ratios are the throughput over that of one process.',
    targets: [],
  },
  recovery: {
    title: 'Jobs of processes that end',
    text: 'Twenty jobs that run in a process which is killed, frozen or stopped, until they begin again in another one that has slots for them. For a stopped one the time begins when its handlers are told to end. Figures named `_ms` are milliseconds.',
    targets: [
      { ratio: 'killed_p99_ms', bound: 'most', value: 5_000 },
      { ratio: 'frozen_p99_ms', bound: 'most', value: 15_000 },
      { ratio: 'stopped_p99_ms', bound: 'most', value: 2_000 },
    ],
  },
  'job-memory': {
    title: 'Memory over many jobs',
    text: 'Resident memory and heap of one process that runs jobs that do nothing, after garbage collection. The ratios are of the last sample over the second.',
    targets: [
      { ratio: 'resident_last_vs_second', bound: 'most', value: 1.2 },
      { ratio: 'heap_last_vs_second', bound: 'most', value: 1.2 },
    ],
  },
  latency: {
    title: 'Latency of jobs and events',
    text: "Single ones on an idle system, handled in another process, at defaults. Figures named `_ms` are milliseconds; the ratio is our time over the peer's.",
    targets: [
      { ratio: 'job_latency_p50_ms', bound: 'most', value: 5 },
      { ratio: 'job_latency_p99_ms', bound: 'most', value: 25 },
      { ratio: 'event_latency_p50_ms', bound: 'most', value: 25 },
    ],
  },
  embedded: {
    title: 'Embedded PostgreSQL',
    text: 'Starts, joins and memory of the server from node_modules.',
    targets: [],
    wanted: [
      { subject: 'first start, to the first query', bound: 'most', value: 1_500 },
      { subject: 'later start, to the first query', bound: 'most', value: 200 },
    ],
  },
  memory: {
    title: 'Memory',
    text: 'An idle service with embedded PostgreSQL and the cache in memory.',
    targets: [],
    wanted: [{ subject: 'sluice, embedded PostgreSQL and cache in memory', bound: 'most', value: 150 }],
  },
}

/** The page, in the order of the chapters; a report without a chapter comes under its own name, at the end. */
export function benchmarkPage(reports: readonly Report[]): string {
  const order = Object.keys(CHAPTERS)
  const place = ({ name }: Report): number => (order.includes(name) ? order.indexOf(name) : order.length)
  const lines = [
    '# Benchmarks',
    '',
    'Written by `npm run bench:docs` from the reports in `bench/results`. Every figure is a median of interleaved rounds of one run, so compare rows of one table and not of two;',
    'a ratio is of medians in the same run. Machines are noisy: repeat with the command under each title (`--quick` for less than 45 seconds, `--json FILE` for programs).',
    '',
    ...reports.toSorted((a, b) => place(a) - place(b)).flatMap(chapterOf),
  ]
  return `${lines.join('\n').trimEnd()}\n`
}

function chapterOf(report: Report): string[] {
  const chapter: Chapter = CHAPTERS[report.name] ?? { title: report.name, text: '', targets: [] }
  const { title, text, targets, wanted = [] } = chapter
  return [
    `## ${title}`,
    '',
    text,
    '',
    '```sh',
    `npm run bench -- ${report.name}`,
    '```',
    '',
    ...rowTable(report, wanted),
    '',
    ...ratioTable(report, targets),
    `Versions: ${listOf(report.versions)}. Settings: ${listOf(report.settings)}.`,
    '',
  ]
}

function rowTable({ rows }: Report, wanted: readonly Wanted[]): string[] {
  const row = ({ subject, value, unit }: Row): string => `| ${subject} | ${shown(value)} | ${unit} |`
  if (wanted.length === 0) return ['| subject | value | unit |', '|---|---:|---|', ...rows.map(row)]
  return [
    '| subject | value | unit | wanted |',
    '|---|---:|---|---|',
    ...rows.map((each) => {
      const target = wanted.find(({ subject }) => subject === each.subject)
      return target === undefined ? `${row(each)} |` : `${row(each)} ${boundOf(target, each.value)} |`
    }),
  ]
}

function ratioTable(report: Report, targets: readonly Target[]): string[] {
  const ratios = Object.entries(report.ratios)
  if (ratios.length === 0) return []
  return [
    '| ratio | measured | target |',
    '|---|---:|---|',
    ...ratios.map((entry) => ratioRow(entry, targets)),
    '',
  ]
}

function ratioRow([name, value]: readonly [string, number], targets: readonly Target[]): string {
  const target = targets.find((each) => each.ratio === name)
  if (target === undefined) return `| \`${name}\` | ${value.toFixed(2)} | |`
  return `| \`${name}\` | ${value.toFixed(2)} | ${boundOf(target, value)} |`
}

function boundOf({ bound, value: limit }: Target | Wanted, value: number): string {
  const met = bound === 'most' ? value <= limit : value >= limit
  return `at ${bound} ${shown(limit)}${met ? '' : ' (**missed**)'}`
}

function shown(value: number): string {
  return value >= 1_000 ? Math.round(value).toLocaleString('en') : String(Math.round(value * 100) / 100)
}

function listOf(facts: Readonly<Record<string, unknown>>): string {
  return Object.entries(facts)
    .map(([name, value]) => `${name} ${String(value)}`)
    .join(', ')
}
