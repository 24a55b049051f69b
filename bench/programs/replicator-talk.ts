/** What the processes of the benchmark `replicator` say to each other. */

/** Asks the source to send messages to those who subscribed under `path`. */
export interface Burst {
  readonly path: string
  readonly count: number
  /** Messages a second; 0 for as fast as they are taken. */
  readonly rate: number
  /** So many keys get nine of ten messages; 0 for all alike. */
  readonly hot: number
}

/** What a receiver is asked. `count` of `caughtUp`: changes that may still wait. */
export type Question =
  | { readonly ask: 'round'; readonly count: number; readonly rate?: number; readonly hot?: number }
  | { readonly ask: 'send'; readonly count: number; readonly rate?: number }
  | { readonly ask: 'ended' | 'caughtUp'; readonly count: number }
  | { readonly ask: 'connect' | 'facts' | 'stop' }

export interface Answer {
  readonly value: number
  /** Share of the messages that took no write of their own. */
  readonly saved?: number
  /** Processor time of the receiver for one message, in microseconds. */
  readonly cpuUs?: number
  readonly p50?: number
  readonly p99?: number
  readonly rows?: number
  readonly dropped?: number
}

/** What the source is asked, besides bursts. `last`: the id of the last message of each key. */
export interface SourceQuestion {
  readonly ask: 'facts' | 'last'
}

export interface SourceAnswer {
  /** Processor time since its start, in microseconds. */
  readonly cpuUs: number
  readonly last?: Readonly<Record<string, string>>
}
