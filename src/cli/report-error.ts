/** Tells an error to the person at the terminal, and says with which code to end. */
import { adviceFor } from './advice.ts'
import { exitCodeOf } from './exit-codes.ts'
import { isSluiceError, toError } from '../core/errors.ts'
import type { Terminal } from './command.ts'

/** @returns the exit code */
export function reportError(thrown: unknown, terminal: Terminal): number {
  const error = toError(thrown)
  if (isSluiceError(error)) {
    terminal.err(`${error.code}: ${error.message}`)
    const advice = adviceFor(error)
    if (advice !== undefined) terminal.err(advice)
  } else {
    // The stack of a program's own error says where to look.
    terminal.err(error.stack ?? error.message)
    const hint = hintOf(error)
    if (hint !== undefined) terminal.err(`\n${hint}`)
  }
  return exitCodeOf(error)
}

function hintOf(error: Error): string | undefined {
  const code = 'code' in error ? error.code : undefined
  const missing = /^Cannot find package '([^']+)'/.exec(error.message)
  if (code === 'ERR_MODULE_NOT_FOUND' && missing !== null) return `Install it with: npm install ${missing[1]}`
  if (code === 'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX') {
    return 'Node.js runs TypeScript by taking the types off; enum, namespace and parameter properties need code.'
  }
  return undefined
}
