import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Engine } from '../../src/engine/engine.ts'
import { Rounds } from '../../src/events/rounds.ts'
import { silentLogger, type Logger } from '../../src/telemetry/log.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'

test('a round that fails again and again is told as a warning, and ever more rarely', async () => {
  const engine = { clock: new ManualClock(), random: () => 0.5 } as unknown as Engine
  const lines: string[] = []
  const write = (level: string) => (facts: string | object) => {
    const { failures } = facts as { readonly failures: number }
    lines.push(`${level} ${failures}`)
  }
  const log: Logger = { ...silentLogger, debug: write('debug'), warn: write('warn') }
  const over = Promise.withResolvers<void>()
  let calls = 0
  const rounds: Rounds = new Rounds(engine, log, 'the care for the log', 60_000, async () => {
    calls += 1
    if (calls > 17) {
      over.resolve()
      return undefined
    }
    // The next one follows at once.
    rounds.look()
    if (calls === 13) return undefined
    throw new Error('permission denied')
  })
  rounds.start()
  await over.promise
  await rounds.stop()
  const warned = lines.filter((line) => line.startsWith('warn'))
  assert.deepEqual(warned, ['warn 3', 'warn 6', 'warn 12', 'warn 3'])
  assert.equal(lines.length, 16)
})
