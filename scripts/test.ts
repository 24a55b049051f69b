/**
 * `npm test [-- file…]`: runs every test of the tree, or those named, each file in a process of its own.
 *
 * Two files run at once, so that tests of timing are not starved on a small machine. A test may take a minute and a file
 * three; what hangs is ended and reported. Skipped tests are listed with their reasons before the runner's summary.
 */
import { globSync } from 'node:fs'
import { Transform } from 'node:stream'
import { run } from 'node:test'
import { spec, type TestEvent } from 'node:test/reporters'

const CONCURRENT_FILES = 2
/** With SLUICE_SOAK=1 some tests repeat what they do ten thousand times. */
const TEST_TIMEOUT_MS = process.env['SLUICE_SOAK'] === '1' ? 600_000 : 60_000
const PATTERNS = ['test/**/*.test.ts', 'examples/**/*.test.ts']

const asked = process.argv.slice(2)
const files = globSync(asked.length > 0 ? asked : PATTERNS, {
  exclude: (path) => path.includes('node_modules'),
}).sort()
if (files.length === 0) {
  process.stderr.write(`no test file matches ${(asked.length > 0 ? asked : PATTERNS).join(' ')}\n`)
  process.exit(1)
}

/** Names of skipped tests by the reason. */
const skipped = new Map<string, string[]>()

/** Puts the list of skipped tests before the first line of the summary, which must stay the end of the output. */
const listSkips = new Transform({
  objectMode: true,
  transform(event: TestEvent, _encoding, done) {
    if (event.type === 'test:fail') process.exitCode = 1
    if (event.type === 'test:pass' && event.data.skip !== undefined && event.data.skip !== false) {
      const reason = typeof event.data.skip === 'string' ? event.data.skip : 'no reason given'
      skipped.set(reason, [...(skipped.get(reason) ?? []), event.data.name])
    }
    if (event.type === 'test:diagnostic' && event.data.message.startsWith('tests ') && skipped.size > 0) {
      const lines = [...skipped].map(([reason, names]) => `  ${reason}\n    ${names.join('\n    ')}\n`)
      this.push({
        type: 'test:stdout',
        data: { file: '', message: `\nSkipped:\n${lines.join('')}\n` },
      })
    }
    done(null, event)
  },
})

run({
  files,
  concurrency: CONCURRENT_FILES,
  execArgv: [
    '--conditions=sluice-source',
    `--test-timeout=${TEST_TIMEOUT_MS}`,
    `--import=${new URL('../test/support/watchdog.ts', import.meta.url).href}`,
  ],
})
  .pipe(listSkips)
  .pipe(spec())
  .pipe(process.stdout)
