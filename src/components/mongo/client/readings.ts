/** Which of our codes an error of the driver or an error number of the server is. */
import type { ErrorCode } from '../../../core/errors.ts'

export interface Reading {
  readonly code: ErrorCode
  readonly retryable?: boolean
  readonly hint?: string
}

const NOT_SENT: Reading = { code: 'SLUICE_UNAVAILABLE', retryable: true }
const UNKNOWN: Reading = {
  code: 'SLUICE_OUTCOME_UNKNOWN',
  hint: 'Look whether it took effect, or make it repeatable: an _id of your own, a filter, { idempotent: true }.',
}
const NO_PRIMARY: Reading = {
  code: 'SLUICE_READ_ONLY',
  retryable: true,
  hint: 'The server is no primary at the moment; a new one is found by itself.',
}
const CREDENTIALS: Reading = {
  code: 'SLUICE_AUTH',
  hint: 'Check user, password and authSource of MONGO_URL.',
}
const RIGHTS: Reading = { code: 'SLUICE_AUTH', hint: 'The user lacks the right to do this on this database.' }
const NEEDS_REPLICA_SET: Reading = {
  code: 'SLUICE_UNSUPPORTED',
  hint: 'Transactions and change streams need a replica set, of one member at least.',
}
const UNSUPPORTED: Reading = { code: 'SLUICE_UNSUPPORTED' }
const DISK: Reading = { code: 'SLUICE_OVERLOADED', hint: 'The disk of the server is full.' }
const TOO_LARGE: Reading = { code: 'SLUICE_TOO_LARGE', hint: 'A document has 16 MB at most.' }
const TOO_LATE: Reading = { code: 'SLUICE_TIMEOUT', retryable: true }
const DUPLICATE: Reading = { code: 'SLUICE_CONFLICT' }
const LOST_RACE: Reading = { code: 'SLUICE_CONFLICT', retryable: true }

/** By the server's number; https://www.mongodb.com/docs/manual/reference/error-codes/ has their names. */
const BY_REPLY: ReadonlyMap<number, Reading> = new Map([
  [11_000, DUPLICATE],
  [11_001, DUPLICATE],
  [12_582, DUPLICATE],
  [48, DUPLICATE],
  [112, LOST_RACE],
  [251, LOST_RACE],
  [24, LOST_RACE],
  [13, RIGHTS],
  [18, CREDENTIALS],
  [8_000, CREDENTIALS],
  [50, TOO_LATE],
  [262, TOO_LATE],
  [10_107, NO_PRIMARY],
  [13_435, NO_PRIMARY],
  [10_058, NO_PRIMARY],
  [13_436, NOT_SENT],
  [26, { code: 'SLUICE_NOT_FOUND' }],
  [27, { code: 'SLUICE_NOT_FOUND' }],
  [
    43,
    {
      code: 'SLUICE_UNAVAILABLE',
      retryable: true,
      hint: 'The server has forgotten the cursor; read on from the last document that you had.',
    },
  ],
  [121, { code: 'SLUICE_INVALID_DATA', hint: 'The validator of the collection refuses the document.' }],
  [10_334, TOO_LARGE],
  [17_280, TOO_LARGE],
  [17_419, TOO_LARGE],
  [146, { code: 'SLUICE_OVERLOADED', retryable: true }],
  [39, DISK],
  [14_031, DISK],
  [20, NEEDS_REPLICA_SET],
  [40_573, NEEDS_REPLICA_SET],
  [59, UNSUPPORTED],
  [115, UNSUPPORTED],
  [238, UNSUPPORTED],
  [263, { code: 'SLUICE_UNSUPPORTED', hint: 'MongoDB does not do this inside of a transaction.' }],
  [
    286,
    {
      code: 'SLUICE_NOT_FOUND',
      hint: 'The place to go on from is no longer in the oplog: read everything again, then watch from now on.',
    },
  ],
  // Written on the primary, and not on as many others as were asked for.
  [64, UNKNOWN],
])

/** A server that stops or steps down ends what runs; whether a write was done before nobody says. */
const INTERRUPTED: ReadonlySet<number> = new Set([91, 189, 11_600, 11_602, 6, 7, 89, 9_001])

/** The driver's classes by name: they come from a module that is loaded late. */
const BY_NAME: Readonly<Record<string, Reading>> = {
  MongoServerSelectionError: NOT_SENT,
  PoolClearedError: NOT_SENT,
  MongoPoolClearedError: NOT_SENT,
  MongoWaitQueueTimeoutError: {
    code: 'SLUICE_OVERLOADED',
    retryable: true,
    hint: 'Raise MONGO_MAX_POOL_SIZE.',
  },
  MongoMissingCredentialsError: CREDENTIALS,
  MongoInvalidArgumentError: { code: 'SLUICE_INVALID_ARGUMENT' },
  MongoAPIError: { code: 'SLUICE_INVALID_ARGUMENT' },
  MongoParseError: { code: 'SLUICE_CONFIG' },
  BSONError: { code: 'SLUICE_INVALID_ARGUMENT' },
  BSONVersionError: { code: 'SLUICE_INVALID_ARGUMENT' },
  BSONOffsetError: { code: 'SLUICE_UNAVAILABLE', retryable: true, hint: 'Bytes were damaged on the way.' },
  MongoCompatibilityError: NEEDS_REPLICA_SET,
  MongoTransactionError: { code: 'SLUICE_INVALID_ARGUMENT' },
  MongoOperationTimeoutError: TOO_LATE,
  MongoClientClosedError: { code: 'SLUICE_CLOSED' },
  MongoTopologyClosedError: { code: 'SLUICE_CLOSED' },
  MongoNotConnectedError: { code: 'SLUICE_CLOSED' },
  MongoPoolClosedError: { code: 'SLUICE_CLOSED' },
  MongoExpiredSessionError: { code: 'SLUICE_CLOSED' },
}

export function readingOf(error: Error, repeatable: boolean): Reading {
  const reply = (error as { readonly code?: unknown }).code
  if (typeof reply === 'number') {
    if (INTERRUPTED.has(reply)) return repeatable ? NOT_SENT : UNKNOWN
    const known = BY_REPLY.get(reply)
    if (known !== undefined) return known
  }
  if (/Document is larger than|maximum BSON|object to insert too large|too large/i.test(error.message))
    return TOO_LARGE
  const known = BY_NAME[error.name]
  if (known !== undefined) return known
  if (typeof reply === 'number') return { code: 'SLUICE_QUERY' }
  // A bulk write hides what it failed of; only of a server that was not found something is left.
  if (error.name === 'MongoBulkWriteError' && 'reason' in error) return NOT_SENT
  // A connection that was not up yet carried nothing.
  if ((error as { readonly beforeHandshake?: unknown }).beforeHandshake === true) return NOT_SENT
  // Whatever else: the connection ended, or what came over it was no answer.
  return repeatable ? NOT_SENT : UNKNOWN
}
