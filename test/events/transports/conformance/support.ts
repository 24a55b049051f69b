import { randomUUID } from 'node:crypto'
import assert from 'node:assert/strict'
import { hasCode } from '../../../../src/core/errors.ts'

export { anything, Seen, until } from '../../support.ts'

/** A topic, or a subscription, that no other test has. */
export const unique = (name: string): string => `${name}-${randomUUID().slice(0, 8)}`

/** It must say so at the call, and not later or never. */
export async function refused(call: () => unknown): Promise<void> {
  await assert.rejects(
    async () => await call(),
    (error) => hasCode(error, 'SLUICE_UNSUPPORTED') && (error.hint ?? '') !== '',
  )
}

/** A subscription cannot be made at all. */
export function refusedAtOnce(call: () => unknown): void {
  assert.throws(call, (error) => hasCode(error, 'SLUICE_UNSUPPORTED'))
}
