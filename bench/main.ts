/**
 * `npm run bench -- <name> [--quick] [--minutes N] [--json FILE]`: runs a benchmark beside its peers and prints what it measured.
 * Without a name it lists them. Each is a file of this folder that exports `benchmark`.
 */
import { globSync, writeFileSync } from 'node:fs'
import { availableParallelism, loadavg } from 'node:os'
import { basename, join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Benchmark, Report } from './harness/benchmark.ts'
import { installPeers, versionsOf } from './harness/peers.ts'
import { runRounds } from './harness/rounds.ts'
import { formatReport } from './harness/table.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    minutes: { type: 'string' },
    json: { type: 'string' },
  },
})
const names = globSync('*.ts', { cwd: import.meta.dirname })
  .map((file) => basename(file, '.ts'))
  .filter((name) => name !== 'main')
  .sort()
const [name] = positionals

if (name === undefined) {
  console.log('npm run bench -- <name> [--quick] [--minutes N] [--json FILE]\n')
  for (const each of names) console.log(`  ${each.padEnd(12)} ${(await open(each)).doc}`)
} else if (!names.includes(name)) {
  console.error(`no benchmark "${name}"; there are: ${names.join(', ')}`)
  process.exitCode = 1
} else {
  const report = await measure(name, await open(name))
  console.log(formatReport(report))
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`)
}

async function measure(benchmarkName: string, benchmark: Benchmark): Promise<Report> {
  installPeers(benchmark.peers)
  const { quick } = values
  const [load = 0] = loadavg()
  const startedAt = performance.now()
  const measured = await benchmark.run({
    quick,
    minutes: values.minutes === undefined ? undefined : Number(values.minutes),
    note: (text) => void process.stderr.write(`${text}\n`),
    rounds: (subjects, options) => runRounds(subjects, quick, options),
  })
  const seconds = Math.round((performance.now() - startedAt) / 100) / 10
  return {
    name: benchmarkName,
    versions: { ...versionsOf(benchmark.peers), ...measured.versions },
    settings: {
      quick,
      ...measured.settings,
      cores: availableParallelism(),
      load_before: Math.round(load * 10) / 10,
      seconds,
    },
    rows: measured.rows,
    ratios: measured.ratios,
  }
}

async function open(benchmarkName: string): Promise<Benchmark> {
  const module = (await import(join(import.meta.dirname, `${benchmarkName}.ts`))) as {
    readonly benchmark: Benchmark
  }
  return module.benchmark
}
