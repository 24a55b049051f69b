/** What the replicator counts; plain numbers, since each message adds to them. Metrics and the log line read them. */

export const TRIGGERS = ['idle', 'size', 'time', 'drain'] as const
/** Why a batch was sent: nothing was under way, it was large enough, it had waited long enough, or all is to go out. */
export type Trigger = (typeof TRIGGERS)[number]

export interface LaneCounters {
  /** Messages of the stream, bulk ones by entity. */
  received: number
  /** Rows of loads. */
  rows: number
  /** Messages that another of the same key made needless, or that were put together with one. */
  conflated: number
  /** Messages whose effect is stored. */
  processed: number
  /** Changes that were stored. */
  applied: number
  /** Messages that were older than what waited for their key. */
  skipped: number
  /** Changes that met something newer in the store; their messages count as processed. */
  skippedInStore: number
  /** Messages that cannot be applied. */
  dead: number
  /** Always 0: nothing is thrown away. It is counted at each place where something could be. */
  dropped: number
  /** Messages that were let go with their session and come again from the cursor. */
  returned: number
  readonly batches: Record<Trigger, number>
  failedBatches: number
}

export function laneCounters(): LaneCounters {
  return {
    received: 0,
    rows: 0,
    conflated: 0,
    processed: 0,
    applied: 0,
    skipped: 0,
    skippedInStore: 0,
    dead: 0,
    dropped: 0,
    returned: 0,
    batches: { idle: 0, size: 0, time: 0, drain: 0 },
    failedBatches: 0,
  }
}

/** Sums of all lanes. */
export function addUp(all: readonly LaneCounters[]): LaneCounters {
  const sum = laneCounters()
  for (const each of all) {
    for (const key of Object.keys(each) as (keyof LaneCounters)[]) {
      if (key !== 'batches') sum[key] += each[key]
    }
    for (const trigger of TRIGGERS) sum.batches[trigger] += each.batches[trigger]
  }
  return sum
}
