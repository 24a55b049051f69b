/** What a benchmark is: `bench/<name>.ts` exports one as `benchmark`. */

export interface Benchmark {
  /** One line for the list. */
  readonly doc: string
  /** Packages of bench/package.json that are measured beside sluice; their versions go into the report. */
  readonly peers: readonly string[]
  run(context: BenchContext): Promise<Measured>
}

export interface BenchContext {
  /** Fewer and shorter rounds: all of it, peers included, is to be done within 45 seconds. */
  readonly quick: boolean
  /** How long it goes on, for a benchmark whose subject is time: `--minutes`. @default its own */
  readonly minutes: number | undefined
  /** Says what is going on, on standard error. */
  readonly note: (text: string) => void
  /** Runs the subjects in turns and takes the median of each. Fewer rounds with `quick`. */
  readonly rounds: (subjects: readonly Subject[], options?: RoundOptions) => Promise<readonly Row[]>
}

export interface Subject {
  /** Such as `fastq.promise, await loops`; unique within a benchmark. */
  readonly name: string
  /** Of what `measure` returns: `ns/task`, `calls/s`, `ms`, `MB`. */
  readonly unit: string
  /** One round. Owns all it needs: what it makes, it ends. */
  measure(): Promise<number> | number
}

export interface RoundOptions {
  /** @default 7 */
  readonly rounds?: number
  /** @default 3 */
  readonly quickRounds?: number
  /** Rounds before those, not counted, for the compiler. @default 1 */
  readonly warmUp?: number
}

export interface Row {
  readonly subject: string
  /** Median of the rounds. */
  readonly value: number
  readonly unit: string
}

export interface Measured {
  /** Of what is measured besides Node.js, sluice and the peers: drivers and servers. */
  readonly versions?: Readonly<Record<string, string>>
  /** What was held equal: tasks, callers, sizes. */
  readonly settings: Readonly<Record<string, string | number | boolean>>
  readonly rows: readonly Row[]
  /** Named after what and the peer: `pool_all_vs_fastq_promise`. */
  readonly ratios: Readonly<Record<string, number>>
}

export interface Report extends Measured {
  readonly name: string
  readonly versions: Readonly<Record<string, string>>
}

/** Quotient of two subjects' medians, to three digits. */
export function ratio(rows: readonly Row[], subject: string, peer: string): number {
  return Number((valueOf(rows, subject) / valueOf(rows, peer)).toPrecision(3))
}

function valueOf(rows: readonly Row[], subject: string): number {
  const row = rows.find((candidate) => candidate.subject === subject)
  if (row === undefined) throw new Error(`no row "${subject}" among ${rows.map((r) => r.subject).join(', ')}`)
  return row.value
}
