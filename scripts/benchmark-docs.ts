/**
 * Writes docs/benchmarks.md from the reports in bench/results: no figure on that page is typed by hand.
 *
 *     npm run bench -- pool --json bench/results/pool.json && npm run bench:docs
 */
import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Report } from '../bench/harness/benchmark.ts'
import { benchmarkPage } from './benchmark-page.ts'

const root = join(import.meta.dirname, '..')
const results = join(root, 'bench/results')

const reports = globSync('*.json', { cwd: results })
  .sort()
  .map((file) => JSON.parse(readFileSync(join(results, file), 'utf8')) as Report)
if (reports.length === 0) {
  process.stderr.write('no report in bench/results: run a benchmark with --json first\n')
  process.exitCode = 1
} else {
  writeFileSync(join(root, 'docs/benchmarks.md'), benchmarkPage(reports))
}
