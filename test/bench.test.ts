/** That the benchmarks can be run, and that their page shows what was measured; what they measure is not asked here. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { test } from 'node:test'
import type { Benchmark, Report } from '../bench/harness/benchmark.ts'
import { benchmarkPage, CHAPTERS } from '../scripts/benchmark-page.ts'

const ROOT = join(import.meta.dirname, '..')
const BENCH = join(ROOT, 'bench')
const names = globSync('*.ts', { cwd: BENCH })
  .map((file) => basename(file, '.ts'))
  .filter((name) => name !== 'main')
  .sort()

const { dependencies: installed } = JSON.parse(readFileSync(join(BENCH, 'package.json'), 'utf8')) as {
  readonly dependencies: Readonly<Record<string, string>>
}

test('there is a benchmark for each chapter of the page, and a chapter for each benchmark', () => {
  assert.deepEqual(names, Object.keys(CHAPTERS).sort())
})

for (const name of names) {
  test(`the benchmark ${name} says what it is, and its peers are installed with the benchmarks`, async () => {
    const module = (await import(join(BENCH, `${name}.ts`))) as { readonly benchmark?: Benchmark }
    const { benchmark } = module
    assert.ok(benchmark !== undefined, `bench/${name}.ts exports no benchmark`)
    assert.match(benchmark.doc, /^\S.{10,100}$/)
    assert.equal(typeof benchmark.run, 'function')
    for (const peer of benchmark.peers) assert.ok(peer in installed, `${peer} is not in bench/package.json`)
  })
}

test('npm run bench without a name lists all of them, and an unknown name is refused', () => {
  const bench = (...args: readonly string[]) =>
    spawnSync(process.execPath, ['--conditions=sluice-source', join(BENCH, 'main.ts'), ...args], {
      encoding: 'utf8',
    })
  const list = bench()
  assert.equal(list.status, 0, list.stderr)
  for (const name of names) assert.match(list.stdout, new RegExp(`^ {2}${name} +\\S`, 'm'))
  const unknown = bench('nothing')
  assert.equal(unknown.status, 1)
  assert.match(unknown.stderr, /no benchmark "nothing"; there are: .*pool/)
})

test('each target of the page is a ratio of the stored report, and each peer of a ratio has its whole name', () => {
  for (const file of globSync('results/*.json', { cwd: BENCH })) {
    const { name, ratios } = JSON.parse(readFileSync(join(BENCH, file), 'utf8')) as Report
    for (const { ratio } of CHAPTERS[name]?.targets ?? []) assert.ok(ratio in ratios, `${file}: no ${ratio}`)
    // Compared over time by their names, by programs.
    for (const ratio of Object.keys(ratios)) assert.doesNotMatch(ratio, /_vs_graphile$/)
  }
})

const report: Report = {
  name: 'pool',
  versions: { node: '24.0.0', fastq: '1.20.1' },
  settings: { quick: false, tasks: 1_000_000 },
  rows: [
    { subject: 'sluice, all', value: 123.456, unit: 'ns/task' },
    { subject: 'sluice, rate', value: 1_234_567.8, unit: 'tasks/s' },
  ],
  ratios: { pool_all_vs_fastq_promise: 0.55, pool_loop_vs_fastq_promise: 0.95, pool_other: 2 },
}

test('the page shows each row, each ratio with its target, and says which were missed', () => {
  const page = benchmarkPage([report])
  const lines = page.split('\n')
  for (const line of [
    '# Benchmarks',
    '## Worker pool',
    'npm run bench -- pool',
    '| sluice, all | 123.46 | ns/task |',
    '| sluice, rate | 1,234,568 | tasks/s |',
    '| `pool_all_vs_fastq_promise` | 0.55 | at most 0.6 |',
    '| `pool_loop_vs_fastq_promise` | 0.95 | at most 0.9 (**missed**) |',
    '| `pool_other` | 2.00 | |',
    'Versions: node 24.0.0, fastq 1.20.1. Settings: quick false, tasks 1000000.',
  ])
    assert.ok(lines.includes(line), `${line}\n\nis not in\n\n${page}`)
  assert.match(page, /[^\n]\n$/)
})

test('figures that are wanted stand beside the row that they are wanted of', () => {
  const rows = [
    { subject: 'sluice, 1 caller', value: 1_501, unit: 'ns/call' },
    { subject: 'sluice, 50 callers', value: 300, unit: 'ns/call' },
    { subject: 'other', value: 1, unit: 'ns/call' },
  ]
  const page = benchmarkPage([{ ...report, name: 'operate', rows, ratios: {} }])
  assert.match(page, /^\| sluice, 1 caller \| 1,501 \| ns\/call \| at most 1,500 \(\*\*missed\*\*\) \|$/m)
  assert.match(page, /^\| sluice, 50 callers \| 300 \| ns\/call \| at most 1,500 \|$/m)
  assert.match(page, /^\| other \| 1 \| ns\/call \| \|$/m)
})

test('the chapters of the page have one order, whatever that of the reports', () => {
  const named = (name: string): Report => ({ ...report, name, ratios: {} })
  const titles = benchmarkPage([named('own'), named('hello'), named('pool'), named('redis')]).match(
    /^## .+$/gm,
  )
  assert.deepEqual(titles, ['## Worker pool', '## Redis', '## Hello world', '## own'])
})

test('a target that is a least is missed below it, and a report without ratios has no table of them', () => {
  const redis: Report = {
    ...report,
    name: 'redis',
    ratios: { redis_get_vs_raw: 0.899, redis_set_vs_raw: 0.9 },
  }
  const page = benchmarkPage([redis])
  assert.match(page, /^\| `redis_get_vs_raw` \| 0\.90 \| at least 0\.9 \(\*\*missed\*\*\) \|$/m)
  assert.match(page, /^\| `redis_set_vs_raw` \| 0\.90 \| at least 0\.9 \|$/m)
  assert.doesNotMatch(benchmarkPage([{ ...report, ratios: {} }]), /\| ratio \|/)
})
