/** Two settings of which one would make the other mean nothing: refused with both names where both were set. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createApp, silentLogger, type AppOptions } from '../../src/index.ts'
import { postgres } from '../../src/components/postgres/index.ts'
import { redis } from '../../src/components/redis/index.ts'
import { readConfig, type LoadOptions } from '../../src/config/load.ts'
import { describeProblem } from '../../src/config/problem.ts'
import { hasCode } from '../../src/core/errors.ts'

const components = { db: postgres(), cache: redis() } as unknown as NonNullable<LoadOptions['components']>

async function reading(overrides: LoadOptions['overrides'] = {}, env: LoadOptions['env'] = {}) {
  const { problems, warnings } = await readConfig({ components, overrides, env, file: false })
  return { problems: problems.map(describeProblem), warnings }
}

test('settings that contradict each other are told with both names', async () => {
  const table: readonly (readonly [LoadOptions['overrides'], LoadOptions['env'], RegExp])[] = [
    [{ db: { minConns: 5, maxIdleConns: 1 } }, {}, /db\.minConns.*at most max_idle_conns \(1\).*got 5/],
    [
      {},
      { POSTGRES_MIN_CONNS: '3', POSTGRES_MAX_IDLE_CONNS: '0' },
      /POSTGRES_MIN_CONNS.*max_idle_conns \(0\)/,
    ],
    [
      { app: { healthInterval: '1s', healthTimeout: '10s' } },
      {},
      /app\.healthTimeout.*at most health_interval \(1s\).*got 10s/,
    ],
    [
      { cache: { dialTimeout: '2m' }, infrastructure: { timeouts: { cache: '10s' } } },
      {},
      /cache\.dial_timeout.*at most infrastructure\.timeouts\.cache \(10s\).*got 2m/,
    ],
    [
      { db: { connectTimeout: '20s' } },
      { INFRASTRUCTURE_TIMEOUTS_POSTGRES: '5' },
      /db\.connect_timeout.*infrastructure\.timeouts\.db \(5s\)/,
    ],
  ]
  for (const [overrides, env, pattern] of table) {
    const { problems } = await reading(overrides, env)
    assert.equal(problems.length, 1, problems.join('\n'))
    assert.match(problems[0] ?? '', pattern)
  }
})

test('a default gives way to what was set', async () => {
  const table: readonly LoadOptions['overrides'][] = [
    { db: { minConns: 8 } },
    { db: { maxIdleConns: 0 } },
    { app: { healthInterval: '1s' } },
    { app: { healthTimeout: '10s' } },
    { infrastructure: { timeouts: { cache: '1s', db: '1s' } } },
  ]
  for (const overrides of table) {
    assert.deepEqual(await reading(overrides), { problems: [], warnings: [] }, JSON.stringify(overrides))
  }
})

test('a limit of opening a connection that the default of the attempt ends first is warned of', async () => {
  const { problems, warnings } = await reading({ cache: { dialTimeout: '2m' } })
  assert.deepEqual(problems, [])
  assert.match(
    warnings.join('\n'),
    /cache\.dial_timeout.*2m is never reached.*infrastructure\.timeouts\.cache \(30s\)/,
  )
})

test('limits of the app beyond its budget, or that of a whole request, stop the start', async () => {
  const start = async (
    options: Partial<AppOptions<Record<string, never>>>,
    env: Record<string, string> = {},
  ): Promise<void> => {
    const app = createApp({ name: 'demo', port: 0, host: '127.0.0.1', logger: silentLogger, env, ...options })
    try {
      await app.start()
    } finally {
      await app.stop()
    }
  }
  const refused =
    (pattern: RegExp) =>
    (error: unknown): boolean => {
      assert.match(String(error), pattern)
      return hasCode(error, 'SLUICE_CONFIG')
    }
  await assert.rejects(
    start({ shutdown: { budget: '1s', closeTimeout: '30s', httpTimeout: '60s' } }),
    refused(
      /shutdown\.httpTimeout\).*at most shutdown\.budget \(1s, code\), got 1m[^]*shutdown\.closeTimeout/,
    ),
  )
  await assert.rejects(
    start({ shutdown: { workTimeout: '8s' } }, { APP_SHUTDOWN_TIMEOUT: '5' }),
    refused(/shutdown\.workTimeout.*shutdown\.budget \(5s, env APP_SHUTDOWN_TIMEOUT\)/),
  )
  await assert.rejects(
    start({ http: { headersTimeout: '60s', requestTimeout: '5s' } }),
    refused(/http\.headersTimeout.*at most http\.requestTimeout \(5s, code\)/),
  )
  await start({ shutdown: { budget: '1s' } })
  await start({ http: { requestTimeout: '5s' } })
  await start({ http: { headersTimeout: '40s' } })
})
