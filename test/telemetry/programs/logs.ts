/** Logs before and after its output was found to fail, then ends by itself. */
import { createLogger } from '../../../src/telemetry/pino.ts'

const log = createLogger({ level: 'info' })
for (let line = 0; line < 1_000; line += 1) log.info({ line }, 'before')
await log.flush()
for (let line = 0; line < 1_000; line += 1) log.info({ line }, 'after')
await log.flush()
process.stderr.write('done')
