/** A transaction that runs again, whole and on another connection, when it lost against others or against the network. */
import { invalidArgument, isSluiceError } from '../../core/errors.ts'
import type { Call } from '../../telemetry/operate.ts'
import type { Transaction, TransactionOptions } from './api.ts'
import type { DatabaseHost } from './database-host.ts'
import { sqlState } from './failures.ts'
import { runTransaction, type Run } from './transaction.ts'

const MAX_RETRIES = 20
const DEFAULT_RETRIES = 5
const RETRY_BASE_MS = 10
const RETRY_CAP_MS = 500

type Body<T> = (tx: Transaction) => Promise<T>

export async function runRetrying<T>(
  host: DatabaseHost,
  fn: Body<T>,
  options: TransactionOptions,
  call: Call,
): Promise<T> {
  const { retries = DEFAULT_RETRIES } = options
  if (!Number.isInteger(retries) || retries < 0 || retries > MAX_RETRIES) {
    throw invalidArgument('transaction.retries', `a whole number from 0 to ${MAX_RETRIES}`, retries)
  }
  const { signal } = call
  let failure: unknown
  for (let attempt = 1; ; attempt++) {
    let began = false
    try {
      const run = { signal, attempt, remainingMs: () => call.remainingMs }
      return await runOnce(host, fn, options, run, () => (began = true))
    } catch (error) {
      if (signal.aborted) throw error
      // Why it failed says more than why it could not be run again.
      if (began || attempt === 1) failure = error
      if (attempt > retries || !mayRunAgain(error, host.component)) throw failure
      const ms = host.random() * Math.min(RETRY_CAP_MS, RETRY_BASE_MS * 2 ** attempt)
      await host.clock.sleep(ms, { signal })
    }
  }
}

async function runOnce<T>(
  host: DatabaseHost,
  fn: Body<T>,
  options: TransactionOptions,
  run: Run,
  onLease: () => void,
): Promise<T> {
  const pool = host.pool()
  const connection = await pool.lease(run.signal)
  onLease()
  try {
    return await runTransaction(host, connection, fn, options, run)
  } finally {
    pool.release(connection)
  }
}

/**
 * Serialization failure, deadlock, lock timeout, or a connection lost before the commit; also as another's cause. Of this
 * component only: that the function could not reach a cache, or another database, is not cured by running it again.
 */
function mayRunAgain(error: unknown, component: string): boolean {
  let each: unknown = error
  for (let depth = 0; depth < 5 && each instanceof Error; depth++) {
    if (isConflict(each, component) || isLoss(each, component)) return true
    each = each.cause
  }
  return false
}

/** The driver's own error names no component. */
function isConflict(error: Error, component: string): boolean {
  if (isSluiceError(error) && error.component !== undefined && error.component !== component) return false
  const state = sqlState(error)
  return state === '40001' || state === '40P01' || state === '55P03'
}

function isLoss(error: Error, component: string): boolean {
  return (
    isSluiceError(error) &&
    error.code === 'SLUICE_UNAVAILABLE' &&
    error.retryable &&
    error.component === component
  )
}
