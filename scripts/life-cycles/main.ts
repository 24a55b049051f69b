/**
 * `npm run life-cycles -- <component> [cycles]`: starts and stops a component ten thousand times in one process, each time
 * with an operation in between, and says after each tenth what is open and how much is on the heap. Ends with 1 when
 * something is open at the end that was not before, or when what is on the heap grew by more than 4 MB. A signal ends it
 * after the cycle under way, with the same report.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { assertNoLeaks, snapshotResources } from '../../src/testing/leak-check.ts'
import { SUBJECTS } from './subjects.ts'

/** Modules are loaded and caches filled by then, and stay. */
const WARM_UP = 20
const MAX_GROWTH = 4 * 1_048_576

const [name = '', count = '10000'] = process.argv.slice(2)
const create = SUBJECTS[name]
const cycles = Number(count)
if (create === undefined || !(cycles >= 1)) {
  process.stderr.write(`npm run life-cycles -- ${Object.keys(SUBJECTS).join(' | ')} [cycles]\n`)
  process.exit(2)
}

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

let isEnough = false
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => (isEnough = true))

await using subject = await create()
for (let i = 0; i < WARM_UP; i++) await subject.cycle()
const earlier = snapshotResources()
const before = heap()
const beganAt = performance.now()
let after = before
let done = 0
while (done < cycles && !isEnough) {
  await subject.cycle()
  done++
  if (done % Math.ceil(cycles / 10) !== 0 && done !== cycles && !isEnough) continue
  after = heap()
  const seconds = (performance.now() - beganAt) / 1_000
  process.stdout.write(
    `${name}: ${done} cycles in ${seconds.toFixed(0)} s (${((seconds * 1_000) / done).toFixed(1)} ms each), ` +
      `heap ${megabytes(before)} then ${megabytes(after)} MB, resident ${megabytes(process.memoryUsage.rss())} MB, ` +
      `descriptors ${snapshotResources().get('file descriptor') ?? 'unknown'}\n`,
  )
}
await assertNoLeaks(earlier)
if (after - before > MAX_GROWTH) throw new Error(`the heap grew by ${after - before} bytes`)
process.stdout.write(`${name}: nothing was left open\n`)

/** Bytes in use once all garbage is gone. */
function heap(): number {
  collectGarbage()
  return process.memoryUsage().heapUsed
}

function megabytes(bytes: number): string {
  return (bytes / 1_048_576).toFixed(1)
}
