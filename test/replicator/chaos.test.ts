/** A short run of `npm run chaos -- replicator`, which is run at length by hand. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { replicatorFailed, runReplicatorChaos } from '../../scripts/chaos/replicator.ts'
import { missingServerProgram } from '../components/redis/own-server.ts'

const skip = await missingServerProgram()
const ROUNDS = Number(process.env['SLUICE_CHAOS_ROUNDS'] ?? 2)

test(
  'after kills, and faults of store and source, Redis is what the source says, and the counters add up',
  { skip, timeout: 60_000 + ROUNDS * 30_000 },
  async () => {
    const report = await runReplicatorChaos({
      seed: 7,
      rounds: ROUNDS,
      kills: 0,
      workers: 2,
      run: 'auto',
      log: () => {},
    })
    assert.equal(replicatorFailed(report), false, JSON.stringify(report, null, 2))
  },
)
