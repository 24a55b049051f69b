/** Reading the arguments of a command as the server does, with its words for what is wrong. */
import { isUtf8 } from 'node:buffer'
import { SluiceError } from '../../../core/errors.ts'
import type { Argument } from '../backend.ts'
import { refused } from './entry.ts'

export const syntaxError = (): SluiceError => refused('ERR syntax error')
export const notInteger = (): SluiceError => refused('ERR value is not an integer or out of range')
export const notFloat = (): SluiceError => refused('ERR value is not a valid float')

/** The arguments of one command, after its name. */
export class Arguments {
  readonly command: string
  readonly #values: readonly Argument[]
  #next = 0

  constructor(command: string, values: readonly Argument[]) {
    this.command = command
    this.#values = values
  }

  get left(): number {
    return this.#values.length - this.#next
  }

  /** The next argument as it is: text or bytes. */
  raw(): Argument {
    const value = this.#values[this.#next]
    if (value === undefined) throw this.wrongNumber()
    this.#next += 1
    return value
  }

  text(): string {
    const value = this.raw()
    if (typeof value === 'string') return value.isWellFormed() ? value : value.toWellFormed()
    if (isUtf8(value)) return value.toString()
    throw new SluiceError('SLUICE_UNSUPPORTED', 'in memory, bytes that are no UTF-8 are kept in strings only')
  }

  /** The next argument in capitals, for options. */
  word(): string {
    return this.text().toUpperCase()
  }

  integer(): number {
    return parseInteger(this.text())
  }

  float(): number {
    return parseFloatArgument(this.text())
  }

  /** All that is left. */
  rest(least = 1): string[] {
    if (this.left < least) throw this.wrongNumber()
    const texts: string[] = []
    while (this.left > 0) texts.push(this.text())
    return texts
  }

  /** Nothing may be left. */
  end(): void {
    if (this.left > 0) throw this.wrongNumber()
  }

  wrongNumber(): SluiceError {
    return refused(`ERR wrong number of arguments for '${this.command.toLowerCase()}' command`)
  }
}

export function parseInteger(text: string): number {
  const value = /^(?:0|-?[1-9]\d*)$/.test(text) ? Number(text) : NaN
  if (!Number.isSafeInteger(value)) throw notInteger()
  return value
}

export function parseFloatArgument(text: string): number {
  const infinite = /^([+-]?)inf(?:inity)?$/i.exec(text)
  if (infinite !== null) return infinite[1] === '-' ? -Infinity : Infinity
  if (text === '' || text.trim() !== text || Number.isNaN(Number(text)) || /^[+-]?0[box]/i.test(text))
    throw notFloat()
  return Number(text)
}

/** A double as the server prints it. */
export function formatFloat(value: number): string {
  if (value === Infinity) return 'inf'
  if (value === -Infinity) return '-inf'
  return Object.is(value, -0) ? '-0' : String(value)
}
