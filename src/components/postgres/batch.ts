/**
 * Several statements in one round trip: written to one connection one after the other, without waiting for answers.
 * Outside a transaction each is a transaction of its own, and one that fails leaves the others alone.
 */
import { BatchResult } from '../../core/batch-result.ts'
import type { AsyncResult } from '../../core/async-result.ts'
import { SluiceError, toError } from '../../core/errors.ts'
import type { BatchStatement, Row } from './api.ts'
import type { DriverResult } from './driver.ts'
import { failureOf } from './failures.ts'
import type { Statement, Statements } from './statement.ts'

/** More than this is a bulk: `insertMany`, or a statement over an array. */
const MAX_STATEMENTS = 10_000

export interface BatchPart {
  readonly statement: Statement
  readonly params: readonly unknown[] | undefined
}

export type BatchAnswer = Row[] | SluiceError

export function batchOf(whole: AsyncResult<readonly BatchAnswer[]>, size: number): BatchResult<Row[]> {
  return BatchResult.ofWhole<Row[]>(whole, size)
}

/** Throws SLUICE_INVALID_ARGUMENT naming the statement that is wrong. */
export function partsOf(
  list: readonly BatchStatement[],
  statements: Statements,
  refuse: (statement: Statement) => void,
): readonly BatchPart[] {
  if (!Array.isArray(list) || list.length > MAX_STATEMENTS) {
    throw new SluiceError('SLUICE_INVALID_ARGUMENT', `batch: expected a list of at most ${MAX_STATEMENTS}`)
  }
  return list.map((each: BatchStatement, index) => {
    const { sql, params } = typeof each === 'string' ? { sql: each, params: undefined } : each
    try {
      const statement = statements.of(sql)
      refuse(statement)
      return { statement, params }
    } catch (error) {
      throw new SluiceError('SLUICE_INVALID_ARGUMENT', `batch[${index}]: ${toError(error).message}`, {
        cause: error,
      })
    }
  })
}

/** Sends all, waits for all. Rejects only when none of them reached the server, so that the whole may be sent again. */
export async function sendParts(
  component: string,
  parts: readonly BatchPart[],
  send: (part: BatchPart) => Promise<DriverResult>,
): Promise<readonly BatchAnswer[]> {
  const settled = await Promise.allSettled(parts.map(send))
  const answers = settled.map((each): BatchAnswer =>
    each.status === 'fulfilled' ? (each.value.rows as Row[]) : failureOf(each.reason, { component }),
  )
  const [first] = answers
  if (
    first instanceof SluiceError &&
    first.retryable &&
    answers.every((each) => each instanceof SluiceError)
  ) {
    throw first
  }
  return answers
}
