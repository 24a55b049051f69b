/** What a run does to a broker and to the network before it, one after the other, each until it is healed. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { BrokerServer } from './server.ts'

export const BROKER_FAULTS = ['kill', 'restart', 'freeze', 'cut', 'silence', 'unanswered'] as const

export function isBrokerFault(text: string): text is BrokerFault {
  return (BROKER_FAULTS as readonly string[]).includes(text)
}

export type BrokerFault = (typeof BROKER_FAULTS)[number]

/** A heartbeat and a deadline are missed by the longest, and by the shortest none is. */
const LONGEST_MS = 14_000
const CUTS = 5

/** Resolves when everything is as it was, and nothing that was on its way has to be. */
export async function strikeBroker(
  broker: BrokerServer,
  fault: BrokerFault,
  random: () => number,
  longestMs = LONGEST_MS,
): Promise<void> {
  const { proxy } = broker
  const between = (min: number, max: number): Promise<void> =>
    sleep(Math.min(longestMs, min + random() * (max - min)))
  switch (fault) {
    case 'kill':
      await broker.kill()
      await between(0, 4_000)
      return broker.start()
    case 'restart':
      await broker.stop()
      await between(0, 2_000)
      return broker.start()
    case 'freeze':
      broker.freeze()
      await between(500, LONGEST_MS)
      return broker.thaw()
    case 'cut':
      for (let cuts = 0; cuts < CUTS; cuts++) {
        proxy.reset()
        await between(50, 500)
      }
      return
    case 'silence':
      // What was held back arrives when it heals, long after it was given up.
      proxy.blackhole()
      await between(500, LONGEST_MS)
      return proxy.heal()
    case 'unanswered':
      // It takes what is published, and nobody is told.
      proxy.drop('down')
      await between(200, 3_000)
      proxy.reset()
      return proxy.heal()
    default:
      fault satisfies never
  }
}

/** Each kind `rounds` times, in an order that the seed decides. */
export function brokerFaults(
  rounds: number,
  random: () => number,
  kinds: readonly BrokerFault[] = BROKER_FAULTS,
): readonly BrokerFault[] {
  const faults = Array.from({ length: rounds }, () => kinds).flat()
  for (let at = faults.length - 1; at > 0; at--) {
    const other = Math.floor(random() * (at + 1))
    ;[faults[at], faults[other]] = [faults[other]!, faults[at]!]
  }
  return faults
}
