/**
 * Statements that act on the connection that they are sent on, and what of them is refused where: connections are
 * shared, so the next caller would find what they leave. What a text does not show for certain, such as a script or a
 * block of code, leaves the connection to be put back as it was (`restored`, restore.ts).
 */
import { SluiceError } from '../../core/errors.ts'
import { OPAQUE } from './opaque-text.ts'

export interface ConnectionAct {
  readonly on: 'transaction' | 'session'
  /** As it is called in errors. */
  readonly word: string
  /** What it does is there after the end of the transaction. */
  readonly lasts: boolean
}

/** What is asked of a statement to refuse it. */
interface Acting {
  readonly acts: ConnectionAct | undefined
}

const SESSION_WORDS =
  /^(begin|start\s+transaction|commit|end|rollback|abort|savepoint|release|prepare|deallocate|set|reset|listen|unlisten|discard|declare|fetch|move|close|copy|load|lock)\b/i
const TRANSACTION_WORDS = /^(BEGIN|START\s+TRANSACTION|COMMIT|END|ROLLBACK|ABORT|SAVEPOINT|RELEASE)$/
const LASTING_WORDS = /^(SET|RESET|LISTEN|UNLISTEN|DISCARD|LOAD|PREPARE|DEALLOCATE)$/
/** These end with the transaction, or are of it. */
const LOCAL_SET = /^set\s+(local|transaction|constraints)\b/i
const HOLD = /^declare\b(?:(?!\bfor\b)[\s\S])*\bwith\s+hold\b/i
const SESSION_CONFIG = /\bset_config\s*\([^()]*,\s*false\s*\)/i

export function actsOn(text: string): ConnectionAct | undefined {
  const bare = text.replace(/^(?:[\s;(]|--[^\n\r]*|\/\*[\s\S]*?\*\/)+/, '')
  const word = SESSION_WORDS.exec(bare)?.[1]?.toUpperCase()
  if (word === undefined)
    return setsForGood(text) ? { on: 'session', word: 'set_config', lasts: true } : undefined
  if (word === 'COPY' && !/\b(stdin|stdout)\b/i.test(bare)) return undefined
  const transaction =
    TRANSACTION_WORDS.test(word) || (word === 'PREPARE' && /^prepare\s+transaction\b/i.test(bare))
  if (transaction) return { on: 'transaction', word, lasts: false }
  const lasts = LASTING_WORDS.test(word) ? !LOCAL_SET.test(bare) : HOLD.test(bare)
  return { on: 'session', word: lasts && word === 'DECLARE' ? 'DECLARE … WITH HOLD' : word, lasts }
}

/** Calls `set_config(…, false)`, and not only within a literal or the body of a function. */
function setsForGood(text: string): boolean {
  return /set_config/i.test(text) && SESSION_CONFIG.test(text.replace(OPAQUE, ' ? '))
}

/** Looked for in the whole text, literals included: a block of code is one. */
const LEAVING =
  /\bset_config\s*\(|\bpg_(?:try_)?advisory_lock(?:_shared)?\s*\(|\bcreate\s+(?:(?:local|global)\s+)?temp(?:orary)?\b/i
const BLOCK = /^\s*do\b/i
const BLOCK_LEAVES = /\b(?:set|execute|listen|load)\b/i

export function mayLeave(text: string): boolean {
  if (BLOCK.test(text)) return BLOCK_LEAVES.test(text) || LEAVING.test(text)
  if (!LEAVING.test(text)) return false
  // `set_config(…, true)` ends with the transaction: the usual way to tell policies whose rows these are.
  const calls = text.match(/\bset_config\s*\(/gi)?.length ?? 0
  const local = text.match(/,\s*true\s*\)/gi)?.length ?? 0
  return calls === 0 || local < calls || LEAVING.test(text.replaceAll(/\bset_config\s*\(/gi, ''))
}

/** Refuses what would leave a shared connection in another state: the next caller would find it so. */
export function refuseOnShared({ acts }: Acting): void {
  if (acts === undefined) return
  throw new SluiceError(
    'SLUICE_INVALID_ARGUMENT',
    `the statement: ${acts.word} acts on one connection, and this call may use any`,
    {
      hint:
        acts.on === 'transaction'
          ? 'Use db.transaction().'
          : 'Use db.session() or db.transaction(), which have a connection of their own, or db.listen().',
    },
  )
}

/** Refuses to begin or end a transaction behind the back of whoever owns it, and what would outlive it. */
export function refuseInTransaction(statement: Acting): void {
  const { acts } = statement
  if (acts?.on !== 'transaction') {
    refuseLasting(statement)
    return
  }
  throw new SluiceError(
    'SLUICE_INVALID_ARGUMENT',
    `the statement: ${acts.word} inside a transaction; it commits when its function resolves and rolls back when it rejects`,
    { hint: 'Use tx.transaction() for savepoints.' },
  )
}

/** Refuses what is still there when the transaction is over and its connection is the next caller's. */
export function refuseLasting({ acts }: Acting): void {
  if (acts?.lasts !== true) return
  throw new SluiceError(
    'SLUICE_INVALID_ARGUMENT',
    `the statement: ${acts.word} outlives the transaction, and its connection goes to the next caller`,
    { hint: INSTEAD[acts.word] ?? 'Use db.session(), whose connection is closed afterwards.' },
  )
}

const LOCAL =
  'Use SET LOCAL, or set_config(name, value, true): they end with the transaction. Or db.session().'
const INSTEAD: Readonly<Record<string, string>> = {
  SET: LOCAL,
  RESET: LOCAL,
  set_config: LOCAL,
  LISTEN: 'Use db.listen().',
}
