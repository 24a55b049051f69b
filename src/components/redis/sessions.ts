/**
 * Sessions of users, kept on the server and ended there.
 *
 * An id is 256 random bits. The server sees only its SHA-256, so that who reads the data cannot take over a session.
 * Every step is atomic and fails closed: when the store is away, `get` rejects and nobody is logged in.
 */
import { createHash, randomBytes } from 'node:crypto'
import type { AsyncResult } from '../../core/async-result.ts'
import { type Duration } from '../../core/duration.ts'
import type { Reply } from './backend.ts'
import { asBoolean, asNumber, defineOperation, invalid, ttlMs } from './commands/command.ts'
import { attempt, type Invoker } from './invoke.ts'
import type { Script } from './scripts/script.ts'
import {
  CREATE_SESSION,
  DESTROY_SESSION,
  DESTROY_SESSIONS,
  READ_SESSION,
  ROTATE_SESSION,
  WRITE_SESSION,
} from './scripts/session.ts'

export interface SessionsOptions {
  /** Keys begin with it. @default 'session' */
  readonly name?: string
  /** A session that was not read for this long ends. @default '30m' */
  readonly idle?: Duration
  /** A session ends this long after it was created, whatever happens. @default '12h' */
  readonly absolute?: Duration
  /** Bytes of a session's data, as JSON. @default 16384 */
  readonly maxBytes?: number
}

export interface Sessions<T> {
  /** A new session; the id is for the cookie. `owner`, a user's id say, makes `destroyAll` find it. */
  create(data: T, options?: { readonly owner?: string }): AsyncResult<string>
  /** The data, and a new idle time; null when there is no such session. Any text may be given. */
  get(id: string): AsyncResult<T | null>
  /** Replaces the data. False when there is no such session. */
  set(id: string, data: T): AsyncResult<boolean>
  /** Moves the session to a new id, for after a login; the old one is worth nothing from then on. Null when there is none. */
  rotate(id: string): AsyncResult<string | null>
  /** Ends a session. False when there was none. */
  destroy(id: string): AsyncResult<boolean>
  /** Ends every session of an owner; says how many there were. */
  destroyAll(owner: string): AsyncResult<number>
}

const ID_BYTES = 32
const ID = /^[A-Za-z0-9_-]{43}$/

const CREATE = defineOperation('session.create', false)
const GET = defineOperation('session.get', true)
const SET = defineOperation('session.set', true)
const ROTATE = defineOperation('session.rotate', false)
const DESTROY = defineOperation('session.destroy', true)

export function createSessions<T>(invoker: Invoker, options: SessionsOptions): Sessions<T> {
  const { name = 'session', maxBytes = 16_384 } = options
  const idle = String(ttlMs(options.idle ?? '30m', 'sessions idle'))
  const absolute = String(ttlMs(options.absolute ?? '12h', 'sessions absolute'))
  if (!Number.isSafeInteger(maxBytes) || maxBytes < 1)
    throw invalid('sessions maxBytes: expected a whole number')

  const keyOf = (id: string): string => invoker.key(`${name}:${ID.test(id) ? digest(id) : NOBODY}`)
  const indexOf = (owner: string): string => invoker.key(`${name}-owner:${owner}`)
  const run = <R>(
    spec: typeof GET,
    script: Script,
    keys: readonly string[],
    args: readonly string[],
    parse: (reply: Reply) => R,
  ): AsyncResult<R> => invoker.runScript({ spec, script, keys, args, parse })
  const encode = (data: T): string => {
    const json: string | undefined = JSON.stringify(data)
    if (json === undefined) throw invalid('a session: expected data that JSON can hold')
    if (Buffer.byteLength(json) > maxBytes)
      throw invalid(`a session: expected at most ${maxBytes} bytes of JSON`)
    return json
  }

  return {
    create: (data, { owner } = {}) =>
      attempt(() => {
        const id = newId()
        const keys = [keyOf(id), owner === undefined ? '' : indexOf(owner)]
        return run(CREATE, CREATE_SESSION, keys, [encode(data), idle, absolute], () => id)
      }),
    get: (id) =>
      run(GET, READ_SESSION, [keyOf(id)], [idle], (reply) =>
        reply === null ? null : (JSON.parse(reply as string) as T),
      ),
    set: (id, data) => attempt(() => run(SET, WRITE_SESSION, [keyOf(id)], [encode(data)], asBoolean)),
    rotate: (id) => {
      const next = newId()
      return run(ROTATE, ROTATE_SESSION, [keyOf(id), keyOf(next)], [], (reply) => (reply === 0 ? null : next))
    },
    destroy: (id) => run(DESTROY, DESTROY_SESSION, [keyOf(id)], [], asBoolean),
    destroyAll: (owner) => run(DESTROY, DESTROY_SESSIONS, [indexOf(owner)], [], asNumber),
  }
}

/** Text that is no id at all asks for a key that never exists: no special case, and no difference in time worth a name. */
const NOBODY = 'none'

const newId = (): string => randomBytes(ID_BYTES).toString('base64url')
const digest = (id: string): string => createHash('sha256').update(id).digest('base64url')
