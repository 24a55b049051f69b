/**
 * A short run of the chaos command, as a user would start it: a few processes killed, one frozen, one told to stop. On the
 * server of this machine where there is one, else on an embedded one. The seeds are fixed; the machine is not, so what is
 * killed at which moment differs a little from run to run.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import type { RunReport } from '../../scripts/chaos/run.ts'
import { serverAt } from '../support/servers.ts'

const server = await serverAt('postgres')
const COMMAND = join(import.meta.dirname, '../../scripts/chaos/main.ts')
/** Twenty seconds on a machine with two processors to itself, the freeze being fourteen of them. */
const LIMIT_MS = 150_000

async function chaos(
  ...args: readonly string[]
): Promise<{ readonly output: string; readonly code: string }> {
  const child = spawn(process.execPath, ['--conditions=sluice-source', COMMAND, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output = (output + text).slice(-20_000)))
  }
  // Its processes end when it does: they hear that its channel is closed.
  const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS)
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
  clearTimeout(timer)
  return { output, code: String(signal ?? code) }
}

// Side by side: most of the time one waits for the frozen process to be taken for dead.
suite('a short run', { concurrency: 2, timeout: 170_000 }, () => {
  for (const [scenario, seed] of [
    ['jobs', 11],
    ['events', 12],
  ] as const) {
    test(`of ${scenario} loses nothing, and does nothing twice`, { timeout: LIMIT_MS + 5_000 }, async () => {
      const directory = await mkdtemp(join(tmpdir(), 'sluice-chaos-report-'))
      try {
        const file = join(directory, 'report.json')
        const { output, code } = await chaos(
          scenario,
          `--seed=${seed}`,
          '--clients=1',
          '--kills=4',
          '--freezes=1',
          '--stops=1',
          '--pace=250',
          '--drain=60',
          `--json=${file}`,
          ...(server.skip === false ? [`--dsn=${server.url}`] : []),
        )
        assert.equal(code, '0', output)
        const report = JSON.parse(await readFile(file, 'utf8')) as RunReport
        assert.deepEqual(
          [report.lost, report.phantoms, report.duplicateEffects, report.crashes],
          [[], [], [], []],
        )
        assert.ok(report.kills >= 4 && report.freezes === 1 && report.stops === 1, output)
        assert.ok(report.acked >= 100, output)
        assert.match(report.version, /^sluice \d.*Node\.js v24/)
      } finally {
        await rm(directory, { recursive: true, force: true })
      }
    })
  }
})

test('an unknown scenario is refused with what there is', async () => {
  const { output, code } = await chaos('nothing')
  assert.equal(code, '2')
  assert.match(output, /npm run chaos -- .*jobs.*events/)
})
