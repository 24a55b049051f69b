import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { Lifecycle } from '../../src/core/lifecycle.ts'
import { lifecycleStress } from '../../src/testing/lifecycle-stress.ts'
import { soakCycles } from '../support/soak.ts'

function listeningOwner(failures = 0): Lifecycle {
  const server = createServer()
  let left = failures
  return new Lifecycle({
    name: 'listener',
    async start() {
      if (left-- > 0) throw new Error('not yet')
      await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
    },
    stop: () => new Promise((resolve) => void server.close(() => resolve())),
    onError: (error) => assert.fail(error),
  })
}

lifecycleStress('a held Lifecycle', () => listeningOwner(), {
  cycles: soakCycles(20, 10_000),
  failingOnce: () => listeningOwner(1),
})

for (const fault of ['leaks', 'hangs', 'stops-twice', 'starts-twice']) {
  test(`the suite is red for an owner that ${fault}`, () => {
    const file = new URL('./fixtures/bad-owner.ts', import.meta.url).pathname
    const { status, stdout } = spawnSync(process.execPath, ['--conditions=sluice-source', '--test', file], {
      env: { ...process.env, NODE_TEST_CONTEXT: undefined, FAULT: fault },
      encoding: 'utf8',
    })
    assert.equal(status, 1, stdout)
  })
}
