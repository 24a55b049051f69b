/**
 * What the guard around a call costs: deadline, breaker, retry and bounded concurrency, no OpenTelemetry SDK.
 *
 * Every subject guards the same function, `async () => {}`, and lets at most 100 run at once. The peers do what they
 * offer of the same: cockatiel wraps timeout, breaker, retry and bulkhead; opossum has timeout, breaker and capacity in
 * one and does not retry. sluice also counts each call in a histogram, which the peers do not.
 */
import { systemClock } from '../src/core/clock.ts'
import { silentLogger } from '../src/telemetry/log.ts'
import { createMetrics } from '../src/telemetry/metrics.ts'
import { createOperations } from '../src/telemetry/operations.ts'
import { ratio, type Benchmark, type Subject } from './harness/benchmark.ts'
import { peer } from './harness/peers.ts'

type Work = () => Promise<void>
type Guarded = () => Promise<unknown>

/** The part of cockatiel that is used. */
interface Cockatiel {
  readonly handleAll: unknown
  readonly retry: (policy: unknown, options: object) => unknown
  readonly timeout: (ms: number, strategy: unknown) => unknown
  readonly circuitBreaker: (policy: unknown, options: object) => unknown
  readonly bulkhead: (limit: number, queue: number) => unknown
  readonly wrap: (...policies: unknown[]) => { execute(fn: Work): Promise<void> }
  readonly TimeoutStrategy: { readonly Aggressive: unknown }
  readonly ConsecutiveBreaker: new (threshold: number) => unknown
  readonly ExponentialBackoff: new () => unknown
}
type Opossum = new (fn: Work, options: object) => { fire(): Promise<void>; shutdown(): void }

const TIMEOUT_MS = 5_000
const CONCURRENCY = 100
const CALLERS = 50
const body: Work = async () => {}

export const benchmark: Benchmark = {
  doc: 'deadline, breaker, retry and slot around a call, beside cockatiel and opossum',
  peers: ['cockatiel', 'opossum'],
  async run({ quick, rounds }) {
    const calls = quick ? 40_000 : 500_000
    const cockatiel = await peer<Cockatiel>('cockatiel')
    const { default: CircuitBreaker } = await peer<{ default: Opossum }>('opossum')
    const opossum = new CircuitBreaker(body, { timeout: TIMEOUT_MS, capacity: CONCURRENCY })

    const guards: Readonly<Record<string, Guarded>> = {
      'no guard': body,
      sluice: guardOfSluice(),
      "sluice with a caller's signal": guardOfSluice(new AbortController().signal),
      'cockatiel timeout + breaker + retry': guardOfCockatiel(cockatiel, false),
      'cockatiel timeout + breaker + retry + bulkhead': guardOfCockatiel(cockatiel, true),
      'opossum timeout + breaker + capacity': () => opossum.fire(),
    }
    const subjects = Object.entries(guards).flatMap(([name, guarded]): Subject[] => [
      {
        name: `${name}, 1 caller`,
        unit: 'ns/call',
        measure: () => perCall(calls, () => inLoops(guarded, calls, 1)),
      },
      {
        name: `${name}, ${CALLERS} callers`,
        unit: 'ns/call',
        measure: () => perCall(calls, () => inLoops(guarded, calls, CALLERS)),
      },
    ])
    const rows = await rounds(subjects, { rounds: 5, quickRounds: 3 })
    opossum.shutdown()
    const against = (name: string, callers: string): number =>
      ratio(rows, `sluice, ${callers}`, `${name}, ${callers}`)
    return {
      settings: { calls, timeoutMs: TIMEOUT_MS, concurrency: CONCURRENCY, callers: CALLERS, sdk: false },
      rows,
      ratios: {
        operate_vs_cockatiel: against('cockatiel timeout + breaker + retry + bulkhead', '1 caller'),
        operate_vs_cockatiel_three: against('cockatiel timeout + breaker + retry', '1 caller'),
        operate_vs_opossum: against('opossum timeout + breaker + capacity', '1 caller'),
        operate_50_vs_cockatiel: against(
          'cockatiel timeout + breaker + retry + bulkhead',
          `${CALLERS} callers`,
        ),
        operate_50_vs_opossum: against('opossum timeout + breaker + capacity', `${CALLERS} callers`),
      },
    }
  },
}

function guardOfSluice(signal?: AbortSignal): Guarded {
  const operations = createOperations({
    component: 'bench',
    kind: 'bench',
    limits: {
      timeoutMs: TIMEOUT_MS,
      maxConcurrent: CONCURRENCY,
      maxWaiting: 1_000,
      breakerThreshold: 5,
      breakerResetMs: 30_000,
      retries: 2,
    },
    clock: systemClock,
    random: Math.random,
    log: silentLogger,
    metrics: createMetrics(),
    notReady: () => undefined,
  })
  const spec = { name: 'noop', idempotent: true }
  const options = signal === undefined ? undefined : { signal }
  return () => operations.run(spec, body, options)
}

function guardOfCockatiel(cockatiel: Cockatiel, withBulkhead: boolean): Guarded {
  const { handleAll, retry, timeout, circuitBreaker, bulkhead, wrap } = cockatiel
  const policies = [
    timeout(TIMEOUT_MS, cockatiel.TimeoutStrategy.Aggressive),
    retry(handleAll, { maxAttempts: 2, backoff: new cockatiel.ExponentialBackoff() }),
    circuitBreaker(handleAll, { halfOpenAfter: 30_000, breaker: new cockatiel.ConsecutiveBreaker(5) }),
  ]
  const policy = wrap(...policies, ...(withBulkhead ? [bulkhead(CONCURRENCY, 1_000)] : []))
  return () => policy.execute(body)
}

async function perCall(calls: number, run: () => Promise<void>): Promise<number> {
  const startedAt = performance.now()
  await run()
  return ((performance.now() - startedAt) * 1e6) / calls
}

async function inLoops(guarded: Guarded, calls: number, loops: number): Promise<void> {
  const loop = async (): Promise<void> => {
    for (let i = 0; i < calls / loops; i += 1) await guarded()
  }
  await Promise.all(Array.from({ length: loops }, loop))
}
