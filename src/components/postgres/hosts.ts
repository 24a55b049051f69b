/** The operations of a postgres component and their limits: one set for each thing that fails and fills up by itself. */
import type { ComponentContext, OperationLimits } from '../../app/component.ts'
import type { Operations } from '../../telemetry/operate.ts'
import type { EntryHost } from './entry.ts'
import type { PostgresConfig } from './section.ts'

export interface Hosts {
  /** Of the component's own database. */
  readonly main: EntryHost
  readonly named: NamedHosts
}

/**
 * Of databases by name: a host for each, so that one that is frozen fills up its own places and no other's, and uses up
 * no other's retries. No breaker, because one that is away is for its callers to see.
 */
export interface NamedHosts {
  /** Refuses the calls on what is not loaded. */
  readonly refusing: Operations
  take(): EntryHost
  /** Its database is closed: it may serve another. Tenants come and go, and metrics know each host for ever. */
  giveBack(host: EntryHost): void
}

export function createHosts(context: ComponentContext<PostgresConfig>): Hosts {
  const { config, clock, random, log, name } = context
  const statements = statementLimits(config.queryTimeout)
  const main: EntryHost = {
    component: name,
    log,
    clock,
    random,
    single: context.operations(statements),
    transactions: context.operations(ownLimits(config.transactionTimeout)),
    inside: context.operations(insideLimits(config.queryTimeout)),
    controlMs: config.queryTimeout,
  }
  const ofNamed = { ...statements, breakerThreshold: 0 }
  const spare: EntryHost[] = []
  return {
    main,
    named: {
      refusing: context.operations(ofNamed),
      take: () =>
        spare.pop() ?? {
          ...main,
          single: context.operations(ofNamed),
          transactions: context.operations(ownLimits(config.transactionTimeout)),
        },
      giveBack: (host) => void spare.push(host),
    },
  }
}

/** Single statements share connections, so many may be under way; they wait for each other in the pool. */
function statementLimits(timeoutMs: number): OperationLimits {
  return {
    timeoutMs,
    maxConcurrent: 1_000,
    maxWaiting: 10_000,
    raise: 'maxOpenConns (POSTGRES_MAX_OPEN_CONNS)',
    breakerThreshold: 10,
    breakerResetMs: 2_000,
    retries: 2,
  }
}

/** Transactions and sessions: no breaker, because what fails in them is mostly the user's own function. */
function ownLimits(timeoutMs: number): OperationLimits {
  return {
    ...insideLimits(timeoutMs),
    maxConcurrent: 1_000,
    maxWaiting: 10_000,
    raise: 'maxOpenConns (POSTGRES_MAX_OPEN_CONNS)',
  }
}

/** Statements inside of them: their connection is the limit. */
function insideLimits(timeoutMs: number): OperationLimits {
  return {
    timeoutMs,
    maxConcurrent: 1_000_000,
    maxWaiting: 0,
    breakerThreshold: 0,
    breakerResetMs: 0,
    retries: 0,
  }
}
