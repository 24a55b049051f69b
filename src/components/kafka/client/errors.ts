/**
 * What the driver says, as one of our codes.
 *
 * The driver nests errors in errors; what decides is the most telling one in the tree: an authentication that was
 * refused, an answer of the broker, a limit, the network. Its own texts name addresses, topics and error codes of the
 * protocol, and no values.
 */
import { isSluiceError, SluiceError, toError, type ErrorCode } from '../../../core/errors.ts'

interface Reading {
  readonly code: ErrorCode
  readonly retryable: boolean
  readonly hint?: string
}

/** Answers of brokers, by their names in the protocol. */
const ANSWERS: Readonly<Record<string, Reading>> = {
  SASL_AUTHENTICATION_FAILED: { code: 'SLUICE_AUTH', retryable: false },
  UNSUPPORTED_SASL_MECHANISM: { code: 'SLUICE_AUTH', retryable: false, hint: 'Set KAFKA_SASL_MECHANISM.' },
  TOPIC_AUTHORIZATION_FAILED: { code: 'SLUICE_AUTH', retryable: false, hint: 'The user lacks a right.' },
  GROUP_AUTHORIZATION_FAILED: { code: 'SLUICE_AUTH', retryable: false, hint: 'The user lacks a right.' },
  CLUSTER_AUTHORIZATION_FAILED: { code: 'SLUICE_AUTH', retryable: false, hint: 'The user lacks a right.' },
  MESSAGE_TOO_LARGE: { code: 'SLUICE_TOO_LARGE', retryable: false, hint: 'Lower KAFKA_BATCH_BYTES.' },
  RECORD_LIST_TOO_LARGE: { code: 'SLUICE_TOO_LARGE', retryable: false, hint: 'Lower KAFKA_BATCH_BYTES.' },
  UNKNOWN_TOPIC_OR_PARTITION: {
    code: 'SLUICE_QUERY',
    retryable: true,
    hint: 'Create the topic; a new one may take a moment.',
  },
  INVALID_TOPIC_EXCEPTION: { code: 'SLUICE_INVALID_ARGUMENT', retryable: false },
  TOPIC_ALREADY_EXISTS: { code: 'SLUICE_CONFLICT', retryable: false },
  NON_EMPTY_GROUP: {
    code: 'SLUICE_CONFLICT',
    retryable: true,
    hint: 'Stop the consumers of the group first.',
  },
  // To a commit from outside of a group that has members.
  UNKNOWN_MEMBER_ID: {
    code: 'SLUICE_CONFLICT',
    retryable: true,
    hint: 'Stop the consumers of the group first.',
  },
  POLICY_VIOLATION: { code: 'SLUICE_QUERY', retryable: false },
  INVALID_REPLICATION_FACTOR: { code: 'SLUICE_INVALID_ARGUMENT', retryable: false },
  INVALID_PARTITIONS: { code: 'SLUICE_INVALID_ARGUMENT', retryable: false },
  THROTTLING_QUOTA_EXCEEDED: { code: 'SLUICE_OVERLOADED', retryable: true },
  NOT_ENOUGH_REPLICAS: { code: 'SLUICE_READ_ONLY', retryable: true },
}

/** `sent`: may the request have been carried out although it failed? Then only its sender may say that it can be repeated. */
export function driverError(thrown: unknown, component: string, sent = false): SluiceError {
  if (isSluiceError(thrown)) return thrown
  const error = toError(thrown)
  const all = [...treeOf(error)]
  const answer = all.find((each) => typeof each['apiId'] === 'string')
  if (answer !== undefined && !sent) {
    const name = String(answer['apiId'])
    const canRetry = answer['canRetry'] === true
    const fallback: Reading = { code: canRetry ? 'SLUICE_UNAVAILABLE' : 'SLUICE_QUERY', retryable: canRetry }
    const { code, retryable, hint } = ANSWERS[name] ?? fallback
    return new SluiceError(code, `${component}: the broker answered ${name}`, {
      retryable,
      component,
      cause: error,
      details: { answer: name },
      ...(hint === undefined ? {} : { hint }),
    })
  }
  const codes = new Set(all.map((each) => each['code']))
  if (codes.has('PLT_KFK_AUTHENTICATION')) {
    return new SluiceError('SLUICE_AUTH', `${component}: the brokers refused the credentials`, {
      component,
      hint: 'Check KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and KAFKA_SASL_MECHANISM.',
    })
  }
  const unknown = all.find(
    (each) => each['code'] === 'PLT_KFK_USER' && each.message.startsWith('Unknown topic'),
  )
  if (unknown !== undefined) {
    return new SluiceError('SLUICE_QUERY', `${component}: there is no such topic`, {
      cause: error,
      component,
      retryable: true,
      hint: 'Create the topic; a new one may take a moment.',
    })
  }
  if (codes.has('PLT_KFK_UNSUPPORTED_API') || codes.has('PLT_KFK_UNSUPPORTED'))
    return new SluiceError('SLUICE_UNSUPPORTED', `${component}: ${error.message}`, {
      cause: error,
      component,
    })
  if (codes.has('PLT_KFK_TIMEOUT') || codes.has('PLT_KFK_NETWORK') || isNetwork(all)) {
    return sent
      ? new SluiceError(
          'SLUICE_OUTCOME_UNKNOWN',
          `${component}: the brokers did not answer; what was sent may or may not be stored`,
          { cause: error, component },
        )
      : new SluiceError('SLUICE_UNAVAILABLE', `${component}: cannot reach the brokers: ${reasonOf(all)}`, {
          cause: error,
          component,
          retryable: true,
        })
  }
  return new SluiceError(
    sent ? 'SLUICE_OUTCOME_UNKNOWN' : 'SLUICE_UNAVAILABLE',
    `${component}: ${error.message}`,
    {
      cause: error,
      component,
      retryable: !sent,
    },
  )
}

/**
 * May the client itself have gone bad, so that the next call is better off with a new one? Not when a broker answered, or
 * the driver refused an argument. Otherwise it may: a connection on which nothing is answered is kept, and so is what it
 * was told about the cluster, garbage included.
 */
export function isStale(thrown: unknown): boolean {
  if (isSluiceError(thrown)) return false
  const all = [...treeOf(toError(thrown))]
  return !all.some((each) => typeof each['apiId'] === 'string' || each['code'] === 'PLT_KFK_USER')
}

/** Was it refused before anything was written to the broker's log? */
export function isRefused(thrown: unknown): boolean {
  const all = [...treeOf(toError(thrown))]
  const answers = all.filter((each) => typeof each['apiId'] === 'string')
  if (answers.length > 0) return answers.every((each) => !AMBIGUOUS.has(String(each['apiId'])))
  return all.some((each) => each['code'] === 'PLT_KFK_USER' || /ECONNREFUSED|ENOTFOUND/.test(each.message))
}

/** Answers after which the messages may be stored. */
const AMBIGUOUS = new Set(['REQUEST_TIMED_OUT', 'NOT_ENOUGH_REPLICAS_AFTER_APPEND', 'UNKNOWN_SERVER_ERROR'])

export type ErrorNode = Error & Readonly<Record<string, unknown>>

const MAX_DEPTH = 6

/** An error of the driver and all that it holds, the outermost first. */
export function errorTree(error: unknown): Generator<ErrorNode> {
  return treeOf(error)
}

/** Could nobody be reached, so that nothing was sent? */
export function isUnreachable(thrown: unknown): boolean {
  const all = [...treeOf(toError(thrown))]
  return (
    all.every((each) => typeof each['apiId'] !== 'string') &&
    all.some((each) => /ECONNREFUSED|ENOTFOUND/.test(each.message))
  )
}

function* treeOf(error: unknown, depth = 0): Generator<ErrorNode> {
  if (!(error instanceof Error) || depth > MAX_DEPTH) return
  yield error as ErrorNode
  if (error instanceof AggregateError) for (const each of error.errors) yield* treeOf(each, depth + 1)
  if (error.cause !== undefined) yield* treeOf(error.cause, depth + 1)
}

function isNetwork(all: readonly ErrorNode[]): boolean {
  return all.some((each) => typeof each['syscall'] === 'string' || /^E[A-Z]+$/.test(String(each['code'])))
}

/** The deepest text says most: `connect ECONNREFUSED 127.0.0.1:1`. */
function reasonOf(all: readonly ErrorNode[]): string {
  return all.at(-1)?.message.slice(0, 200) ?? 'no reason given'
}
