/** One readable line, and below it what is known of the error, for a person at a terminal. */
import type { Level, Line } from './log-line.ts'

const RESET = '\u001B[0m'
const DIM = '\u001B[2m'
const COLOURS: Readonly<Record<Level, string>> = {
  debug: '\u001B[36m',
  info: '\u001B[32m',
  warn: '\u001B[33m',
  error: '\u001B[31m',
}

export interface PrettyOptions {
  readonly colour: boolean
  /** Stacks of expected failures, too. */
  readonly stacks: boolean
}

/** Lines of causes below an expected failure. */
const MAX_CAUSES = 10

type Fields = Readonly<Record<string, unknown>>

/** `12:03:04.123 WARN  cache: operation failed  operation=get attempts=1`, and below it what is known of the error. */
export function formatPretty(line: Line, options: PrettyOptions): string {
  const paint = (code: string, text: string): string => (options.colour ? `${code}${text}${RESET}` : text)
  const { err, ...facts } = line.fields
  const time = new Date(line.time).toISOString().slice(11, 23)
  const level = line.level.toUpperCase().padEnd(5)
  const head = `${paint(DIM, time)} ${paint(COLOURS[line.level], level)} ${nameComponent(line)}${printable(line.message)}`
  const pairs = Object.entries(facts)
    .filter(([name, value]) => value !== undefined && !isSaidElsewhere(name, value, err))
    .map(([name, value]) => `${printable(name)}=${printable(shortValue(value))}`)
  const tail = pairs.length === 0 ? '' : `  ${paint(DIM, pairs.join(' '))}`
  return `${head}${tail}\n${formatErr(line, err, options)}`
}

/** `db: `, unless the message begins with that name itself. */
function nameComponent({ fields, message }: Line): string {
  const { component } = fields
  if (typeof component !== 'string' || component === '') return ''
  const namesItself = message.startsWith(component) && !/^[\w-]/.test(message.slice(component.length))
  return namesItself ? '' : `${printable(component)}: `
}

function isSaidElsewhere(name: string, value: unknown, err: unknown): boolean {
  if (name === 'component') return typeof value === 'string'
  return name === 'code' && isRecord(err) && isSluiceCode(value) && err['code'] === value
}

function shortValue(value: unknown): string {
  return typeof value === 'string' && /^[\w./:@*+-]+$/.test(value)
    ? value
    : (JSON.stringify(value) ?? String(value))
}

/** The description of an error, see `describeError`. */
function formatErr(line: Line, err: unknown, { stacks }: PrettyOptions): string {
  if (err === undefined) return ''
  if (!isRecord(err)) return rows(shortValue(err), '  ')
  const isUnexpected =
    line.level === 'error' && (!isSluiceCode(err['code']) || err['code'] === 'SLUICE_INTERNAL')
  return stacks || line.level === 'debug' || isUnexpected
    ? formatStacks(err, '  ')
    : formatExpected(err, line.message)
}

/** What happened, what to do, and why: a failure that the code foresaw is not searched for in stacks. */
function formatExpected(err: Fields, said: string): string {
  const name = nameOf(err)
  let text = ''
  if (err['message'] !== said) text += rows(`${name}: ${String(err['message'])}`, '  ')
  else if (name !== 'Error') text += rows(name, '  ')
  if (typeof err['hint'] === 'string') text += rows(`hint: ${err['hint']}`, '  ')
  const causes = [...causesOf(err)]
  for (const cause of causes.slice(0, MAX_CAUSES)) text += rows(`caused by: ${cause}`, '  ')
  return causes.length > MAX_CAUSES ? `${text}${rows('caused by: more', '  ')}` : text
}

/** One line a cause, in the order of the chain; an aggregate stands for its parts, and is named if it has a message. */
function* causesOf(err: Fields): Generator<string> {
  const { cause, errors } = err
  for (const below of [cause, ...(Array.isArray(errors) ? (errors as unknown[]) : [])]) {
    if (below === undefined) continue
    if (!isRecord(below)) {
      yield shortValue(below)
      continue
    }
    const message = typeof below['message'] === 'string' ? below['message'] : shortValue(below)
    if (message !== '' || below['errors'] === undefined) {
      yield `${nameOf(below)}: ${message.replaceAll(/\s*\n\s*/g, ' ')}`
    }
    yield* causesOf(below)
  }
}

/** The stack, then those of the causes, then what to do. */
function formatStacks(err: Fields, indent: string): string {
  const { stack, hint, cause, errors } = err
  let text = rows(typeof stack === 'string' ? stack : `${nameOf(err)}: ${String(err['message'])}`, indent)
  for (const below of [cause, ...(Array.isArray(errors) ? (errors as unknown[]) : [])]) {
    if (below === undefined) continue
    const deeper = `${indent}  `
    text += rows('caused by:', indent)
    text += isRecord(below) ? formatStacks(below, deeper) : rows(shortValue(below), deeper)
  }
  return typeof hint === 'string' ? `${text}${rows(`hint: ${hint}`, indent)}` : text
}

function nameOf(err: Fields): string {
  const { code, type } = err
  return isSluiceCode(code) ? code : typeof type === 'string' ? type : 'Error'
}

function isSluiceCode(code: unknown): code is string {
  return typeof code === 'string' && code.startsWith('SLUICE_')
}

function isRecord(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null
}

function rows(text: string, indent: string): string {
  return text
    .split('\n')
    .map((row) => `${indent}${printable(row)}\n`)
    .join('')
}

/** Control characters as escapes: a logged value must not move the cursor or forge a line. */
function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what this looks for
  return text.replaceAll(/[\u0000-\u001F\u007F-\u009F\u2028\u2029]/g, (char) =>
    char === '\n' ? '\\n' : `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
