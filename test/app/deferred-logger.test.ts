import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deferredLogger } from '../../src/app/deferred-logger.ts'
import type { Logger } from '../../src/telemetry/log.ts'

test('every shape of a call is passed on as it was given, before the destination is there and after', () => {
  const calls: unknown[][] = []
  const write = (...args: readonly unknown[]): void => void calls.push([...args])
  const destination: Logger = {
    debug: write,
    info: write,
    warn: write,
    error: write,
    child: () => destination,
  }
  const log = deferredLogger()
  const error = new Error('boom')
  const all = (): void => {
    log.info('100%d')
    log.child({ component: 'db' }).info({ n: 1 })
    log.warn({ n: 1 }, 'text')
    log.error(error)
    log.error(error, 'failed')
  }
  all()
  assert.deepEqual(calls, [])
  log.attach(destination)
  all()
  const expected = [['100%d'], [{ n: 1 }], [{ n: 1 }, 'text'], [error], [error, 'failed']]
  assert.deepEqual(calls, [...expected, ...expected])
})
