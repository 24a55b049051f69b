/** A process that takes all of four shards, says so, and holds its share until it is killed. */
import { Holder, openEngine } from './leases-support.ts'

const { engine } = await openEngine(process.argv[2] ?? '')
const holder = new Holder(engine, 4)
await holder.leases.start()
await holder.holds(4)
process.send?.(engine.worker.lease?.id)
