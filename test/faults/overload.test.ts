/** More than the process can do: too many requests, too little memory. What it cannot take is turned away in words. */
import assert from 'node:assert/strict'
import { mkdir, rmdir, writeFile } from 'node:fs/promises'
import { Agent } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import { until } from '../components/postgres/embedded/support/harness.ts'
import { ask, becomes, type Answer } from './support/http.ts'
import { startProgram } from './support/program.ts'

const PROGRAM = join(import.meta.dirname, 'programs/overloaded.ts')
const RECOVERY_MS = 15_000
const MB = 2 ** 20

const command = (...flags: readonly string[]): readonly string[] => [
  process.execPath,
  '--expose-gc',
  ...flags,
  '--conditions=sluice-source',
  PROGRAM,
]

function assertRefusal({ status, headers, body }: Answer): void {
  assert.equal(status, 503)
  assert.match(String(headers['retry-after']), /^[1-9]\d*$/)
  assert.match(body, /"code":"OVERLOADED"/)
}

/** Requests at their times whether earlier ones were answered or not, as the world sends them. */
async function openLoad(
  url: string,
  agent: Agent,
  perSecond: number,
  ms: number,
): Promise<readonly Answer[]> {
  const answers: Promise<Answer>[] = []
  const began = performance.now()
  for (let now = 0; now < ms; now = performance.now() - began) {
    while (answers.length < (now / 1_000) * perSecond) answers.push(ask(url, 'GET', agent))
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  return Promise.all(answers)
}

test('ten times what it can do: all are answered, what is too much with 503, and the probes throughout', async (t) => {
  await using program = await startProgram({ command: command() })
  const { url } = program
  const began = performance.now()
  for (let at = 0; at < 50; at++) assert.equal((await ask(`${url}/burn`)).status, 200)
  const peak = 50_000 / (performance.now() - began)
  // Connections that are there already, as from a balancer: new ones would queue in the kernel, out of sight.
  const agent = new Agent({ keepAlive: true, maxSockets: 300, maxFreeSockets: 300 })
  await Promise.all(Array.from({ length: 300 }, () => ask(`${url}/livez`, 'GET', agent)))
  let over = false
  const probes: number[] = []
  const probe = async (): Promise<void> => {
    while (!over) for (const path of ['/livez', '/readyz']) probes.push((await ask(url + path)).status)
  }
  const probing = probe()
  const ms = 3_000
  const answers = await openLoad(`${url}/burn`, agent, 10 * peak, ms)
  over = true
  await probing
  agent.destroy()
  const served = answers.filter(({ status }) => status === 200)
  const refused = answers.filter(({ status }) => status !== 200)
  for (const answer of refused) assertRefusal(answer)
  assert.ok(served.length > 0 && refused.length > 0, `${served.length} served, ${refused.length} refused`)
  assert.deepEqual([...new Set(probes)], [200])
  await becomes(`${url}/burn`, 200, RECOVERY_MS)
  const goodput = served.length / ((performance.now() - began) / 1_000)
  t.diagnostic(
    `one after another ${Math.round(peak)} a second; of ${answers.length} at ten times that ${served.length} served, about ${Math.round(goodput)} a second`,
  )
  program.kill('SIGTERM')
  assert.equal(await program.exit, 0)
})

/** Fills the memory until it is turned away, gives it back, and is served again. */
async function fill(where: 'heap' | 'bytes', launch: readonly string[], limitMb: number): Promise<void> {
  await using program = await startProgram({ command: launch, env: { MAX_LOOP_DELAY: '10s' } })
  const { url } = program
  let answer = await ask(`${url}/keep/${where}`)
  for (let kept = 1; answer.status === 200; kept++) {
    assert.ok(kept < limitMb, `${kept} MB are kept of ${limitMb}`)
    answer = await ask(`${url}/keep/${where}`)
  }
  assertRefusal(answer)
  // The line and the answer come by different ways.
  await program.says(/overloaded \(memory\)/)
  for (const path of ['/livez', '/readyz', '/metrics'])
    assert.equal((await ask(url + path)).status, 200, path)
  program.kill('SIGUSR2')
  await becomes(`${url}/keep/${where}`, 200, RECOVERY_MS)
  program.kill('SIGTERM')
  assert.equal(await program.exit, 0)
}

test('a heap that is nearly used up turns requests away before it ends the process', async () => {
  for (const more of [[], ['--max-semi-space-size=8']])
    await fill('heap', command('--max-old-space-size=256', ...more), 256)
})

const group = `/sys/fs/cgroup/memory/sluice-test-${process.pid}`
const skip = await whyNoGroup()

test(
  'memory that a container has nearly used up turns requests away before the kernel ends it',
  { skip },
  async () => {
    const limit = 320 * MB
    await mkdir(group)
    try {
      await writeFile(join(group, 'memory.limit_in_bytes'), String(limit))
      const inside = `echo $$ > ${group}/tasks && exec "$@"`
      await fill('bytes', ['sh', '-c', inside, 'sh', ...command()], limit / MB)
    } finally {
      // Its processes leave a group a moment after their end.
      await until(
        () =>
          rmdir(group).then(
            () => true,
            () => false,
          ),
        'the group is empty',
      )
    }
  },
)

/** Only where groups of version 1 may be made, as by root on a machine of one's own. */
async function whyNoGroup(): Promise<false | string> {
  try {
    await mkdir(`${group}-probe`)
    await rmdir(`${group}-probe`)
    return false
  } catch (error) {
    return `no cgroup can be made here (${(error as NodeJS.ErrnoException).code})`
  }
}
