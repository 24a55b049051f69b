/** The operations of a postgres component and their limits: one set for each thing that fails and fills up by itself. */
import type { ComponentContext, OperationLimits } from '../../app/component.ts'
import type { EntryHost } from './entry.ts'
import type { PostgresConfig } from './section.ts'

export interface Hosts {
  /** Of the component's own database. */
  readonly main: EntryHost
  /** Of databases by name: no breaker, because one that is away says nothing of the others. */
  readonly named: EntryHost
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
  return { main, named: { ...main, single: context.operations({ ...statements, breakerThreshold: 0 }) } }
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
