/**
 * Runs the units: as functions of the server where it has them (Redis 7), else as scripts by their hashes.
 *
 * Functions stay on the server, travel to its replicas and need no text with a call; their library is named after a hash
 * of its text, so that two versions of this package do not overwrite each other's. A server that lost it (a new one
 * after a failover, say) is given it again.
 *
 * All goes through the redis component: its deadlines, breaker, metrics and errors. No call is repeated there, since
 * what a repetition may do is for the sink to say.
 */
import { createHash } from 'node:crypto'
import type { Reply } from '../../../components/redis/backend.ts'
import { defineScript, type Redis, type Script } from '../../../components/redis/index.ts'
import { isSluiceError } from '../../../core/errors.ts'
import { UNITS, type Unit } from './units/index.ts'

export type RunMode = 'function' | 'script'

/** Text as UTF-8, bytes as they are. */
export type Argument = string | Buffer

/** What a unit answers: a list, whose first number below zero is a refusal. */
export type Answer = readonly Reply[]

const NAMES = Object.keys(UNITS) as readonly Unit[]
const SCRIPTS = Object.fromEntries(
  NAMES.map((unit) => [
    unit,
    defineScript({ name: `replicator-${unit}`, lua: `local KEYS, ARGV = KEYS, ARGV\n${UNITS[unit]}` }),
  ]),
) as Record<Unit, Script>

/** Answers the key as the component sends it, prefix included. */
const KEY = defineScript({ name: 'replicator-key', lua: 'return KEYS[1]' })

const LIBRARY = `sluice_replicator_${createHash('sha1')
  .update(NAMES.map((unit) => UNITS[unit]).join('\n'))
  .digest('hex')
  .slice(0, 12)}`
const FUNCTIONS = `#!lua name=${LIBRARY}
${NAMES.map((unit) => `redis.register_function('${LIBRARY}_${unit}', function(KEYS, ARGV)\n${UNITS[unit]}end)`).join('\n')}
`

export class Runner {
  readonly #redis: Redis
  readonly #wanted: RunMode | undefined
  #mode: RunMode = 'script'
  #prefix = ''

  /** `wanted`: undefined for functions where there are any. */
  constructor(redis: Redis, timeoutMs: number, wanted: RunMode | undefined) {
    this.#redis = redis.with({ timeout: timeoutMs })
    this.#wanted = wanted
  }

  get mode(): RunMode {
    return this.#mode
  }

  /** A key as the server has it, with the prefix of the component; known once it is prepared. */
  key(key: string): string {
    return this.#prefix + key
  }

  /** Finds out what the server can; rejects where neither works, or functions were asked for and are not there. */
  async prepare(): Promise<void> {
    this.#prefix = String(await this.#redis.script(KEY, [''], [], { idempotent: true }))
    this.#mode = 'script'
    if (this.#wanted === 'script') return
    try {
      await this.#load()
      this.#mode = 'function'
    } catch (error) {
      if (this.#wanted === 'function' || !isSluiceError(error)) throw error
      // An older server, or one whose access list allows no functions.
      if (error.code !== 'SLUICE_UNSUPPORTED' && error.code !== 'SLUICE_AUTH') throw error
    }
  }

  async run(unit: Unit, base: string, args: readonly Argument[]): Promise<Answer> {
    if (this.#mode === 'script') return list(await this.#redis.script(SCRIPTS[unit], [base], args))
    const call = ['FCALL', `${LIBRARY}_${unit}`, '1', this.key(base), ...args]
    try {
      return list(await this.#redis.command(call))
    } catch (error) {
      if (!isSluiceError(error) || !error.message.includes('Function not found')) throw error
      await this.#load()
      return list(await this.#redis.command(call))
    }
  }

  async #load(): Promise<void> {
    try {
      await this.#redis.command(['FUNCTION', 'LOAD', FUNCTIONS], { idempotent: true })
    } catch (error) {
      if (!isSluiceError(error) || !error.message.includes('already exists')) throw error
    }
  }
}

const list = (reply: Reply): Answer => (Array.isArray(reply) ? (reply as Answer) : [reply])
