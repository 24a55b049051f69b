/** Breaks the broker again and again; after each fault something that was handed in later has to arrive. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { BrokerServer } from './server.ts'
import { strikeBroker, type BrokerFault } from './faults.ts'

export interface Healing {
  readonly fault: BrokerFault
  /** From when the broker was whole again until something arrived that was handed in after that. */
  readonly ms: number
}

export interface BreakingOptions {
  readonly broker: BrokerServer
  readonly faults: readonly BrokerFault[]
  readonly random: () => number
  readonly paceMs: number
  readonly longestMs?: number | undefined
  /** Did anything arrive by now that was handed in after this time? */
  readonly arrivedSince: (time: number) => boolean | Promise<boolean>
  /** No fault is begun after so many milliseconds. */
  readonly forMs?: number | undefined
  /** The run was broken off. */
  readonly isOver?: () => boolean
  /** Around each fault. */
  readonly said: (what: 'broken' | 'healed', fault: BrokerFault) => void
  readonly log: (text: string) => void
}

export interface Broken {
  readonly healings: readonly Healing[]
  /** After these nothing arrived any more. */
  readonly stuck: readonly string[]
}

const LOOK_MS = 50
/** Many times what it takes where processes start in a second; on a machine that does ten other things they take half a minute. */
const STUCK_MS = 300_000

export async function breakBroker(options: BreakingOptions): Promise<Broken> {
  const {
    broker,
    faults,
    random,
    paceMs,
    longestMs,
    forMs = Infinity,
    arrivedSince,
    isOver,
    said,
    log,
  } = options
  const healings: Healing[] = []
  const until = Date.now() + forMs
  for (const [at, fault] of faults.entries()) {
    await sleep(paceMs * (0.5 + random()))
    if (isOver?.() === true || Date.now() > until) break
    said('broken', fault)
    await strikeBroker(broker, fault, random, longestMs)
    said('healed', fault)
    const healed = Date.now()
    while (!(await arrivedSince(healed))) {
      if (isOver?.() === true) return { healings, stuck: [] }
      if (Date.now() - healed > STUCK_MS) return { healings, stuck: [`${fault}, number ${at + 1}`] }
      await sleep(LOOK_MS)
    }
    const ms = Date.now() - healed
    healings.push({ fault, ms })
    log(`broker: ${fault}, ${at + 1} of ${faults.length}; on its way again after ${ms} ms`)
  }
  return { healings, stuck: [] }
}
