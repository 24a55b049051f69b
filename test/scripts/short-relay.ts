/** A short run of `npm run chaos -- relay`: each broker in a file of its own, so that each has three minutes on a starved machine. */
import assert from 'node:assert/strict'
import type { BrokerServer } from '../../scripts/chaos/brokers/server.ts'
import type { BrokerFault } from '../../scripts/chaos/brokers/faults.ts'
import type { BrokerKind } from '../../scripts/chaos/brokers/kinds.ts'
import { formatRelayReport } from '../../scripts/chaos/relay/report.ts'
import { relayFailed, runRelay } from '../../scripts/chaos/relay/run.ts'
import { serverAt } from '../support/servers.ts'

const postgres = await serverAt('postgres')
const KILLS = 2

/** A quarter of a minute on two processors to itself. */
export const LIMIT_MS = 170_000

export async function shortRelay(
  transport: BrokerKind,
  faults: readonly BrokerFault[],
  open?: () => Promise<BrokerServer>,
): Promise<void> {
  const report = await runRelay({
    transport,
    ...(open === undefined ? {} : { open }),
    faults,
    longestMs: 500,
    seed: 21,
    kills: KILLS,
    freezes: 0,
    stops: 0,
    workers: 1,
    clients: 1,
    paceMs: 1_000,
    drainMs: 100_000,
    dsn: postgres.skip === false ? postgres.url : undefined,
    log: () => {},
  })
  assert.equal(relayFailed(report), false, formatRelayReport(report))
  assert.equal(report.healings.length, faults.length)
  assert.ok(report.kills >= KILLS, formatRelayReport(report))
}
