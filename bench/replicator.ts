/**
 * The replicator on a real WebSocket and a real Redis: entities of 300 bytes, 20,000 keys.
 *
 * The source, Redis and each receiver are processes of their own. Beside it, in turns: receiving and parsing alone, one
 * awaited SET a message, and plain SETs in a pipeline, which compare nothing, keep no cursor and lose what was in flight.
 *
 * `REPLICATOR_PARTS`: some of `throughput,latency,restart,outage,load`; all of them otherwise.
 * `REPLICATOR_STOP_SECONDS`: for how long Redis is stopped; 60, with --quick 3.
 * `REPLICATOR_RATE`: messages a second meanwhile; 50,000, with --quick 10,000.
 * `REPLICATOR_NODE_ARGS`: handed to node in each process, such as `--cpu-prof --cpu-prof-dir=DIR`.
 */
import type { Benchmark } from './harness/benchmark.ts'
import { latency, restart } from './replicator/latency.ts'
import { load } from './replicator/load.ts'
import { outage } from './replicator/outage.ts'
import { openStage } from './replicator/stage.ts'
import { throughput } from './replicator/throughput.ts'

const PARTS = ['throughput', 'latency', 'restart', 'outage', 'load']

export const benchmark: Benchmark = {
  doc: 'a stream over a WebSocket into Redis: throughput, latency, an outage, a restart, a load',
  peers: [],
  async run(context) {
    const { quick } = context
    const stopSeconds = Number(process.env['REPLICATOR_STOP_SECONDS'] ?? (quick ? 3 : 60))
    const rate = Number(process.env['REPLICATOR_RATE'] ?? (quick ? 10_000 : 50_000))
    const keys = quick ? 100_000 : 1_000_000
    const parts = new Set((process.env['REPLICATOR_PARTS'] ?? PARTS.join(',')).split(','))
    for (const part of parts) {
      if (!PARTS.includes(part))
        throw new Error(`REPLICATOR_PARTS: no "${part}"; there are ${PARTS.join(', ')}`)
    }
    await using stage = await openStage(context)
    const ratios = parts.has('throughput') ? await throughput(stage) : {}
    if (parts.has('latency')) await latency(stage)
    if (parts.has('restart')) await restart(stage)
    if (parts.has('outage')) await outage(stage, stopSeconds, rate)
    if (parts.has('load')) await load(stage, keys)
    return {
      settings: { keys: 20_000, entityBytes: 300, stopSeconds, stoppedRate: rate, loaded: keys },
      rows: stage.rows,
      ratios,
    }
  },
}
