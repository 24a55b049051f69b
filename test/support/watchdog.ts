/**
 * Preloaded into every test file: ends one that does not end by itself, and says what kept it open. Node's own
 * `--test-timeout` fails the test and then waits for ever for a timer or socket that it left behind.
 */
import { isMainThread } from 'node:worker_threads'

const USUAL_MS = process.env['SLUICE_SOAK'] === '1' ? 1_800_000 : 180_000
const LIMIT_MS = Number(process.env['SLUICE_TEST_FILE_LIMIT_MS'] ?? USUAL_MS)

// A thread of the test is preloaded too, and ends with the process.
if (isMainThread)
  setTimeout(() => {
    const open = process.getActiveResourcesInfo().join(', ')
    process.stderr.write(`${process.argv[1]}: still running after ${LIMIT_MS} ms; open: ${open}\n`)
    process.exit(1)
  }, LIMIT_MS).unref()
