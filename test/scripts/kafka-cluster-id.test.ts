/** The id of a Kafka that is started here. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clusterId } from '../../scripts/services/kafka.ts'

test('no id of a cluster begins with a dash, which the tools of Kafka take for an option', () => {
  // 62 of 64, which base64url writes as a dash, in the first six bits.
  const dash = Buffer.alloc(16, 0xfb)
  assert.equal(dash.toString('base64url')[0], '-')
  assert.match(clusterId(dash), /^[A-Za-z0-9][\w-]{21}$/)
})
