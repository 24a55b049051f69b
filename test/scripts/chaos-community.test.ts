/** A short run of `npm run chaos -- community`, on the RabbitMQ that is there. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { communityFailed, runCommunity } from '../../scripts/chaos/community/run.ts'
import { formatCommunityReport } from '../../scripts/chaos/community/report.ts'
import { serverAt } from '../support/servers.ts'
import { sharedRabbit } from './shared-rabbit.ts'

const postgres = await serverAt('postgres')
const { skip } = await serverAt('rabbitmq')
/** Half a minute on two processors to itself. */
const LIMIT_MS = 170_000

test(
  'a short run of the community over rabbitmq loses nothing, and all that follows is as it must be',
  { skip, timeout: LIMIT_MS },
  async () => {
    const report = await runCommunity({
      transport: 'rabbitmq',
      open: sharedRabbit,
      faults: ['cut', 'unanswered'],
      longestMs: 500,
      seed: 23,
      kills: 2,
      users: 8,
      rate: 30,
      workers: 1,
      paceMs: 500,
      drainMs: 100_000,
      dsn: postgres.skip === false ? postgres.url : undefined,
      log: () => {},
    })
    assert.equal(communityFailed(report), false, formatCommunityReport(report))
    assert.match(report.output, /^everything is as it must be$/m)
  },
)
