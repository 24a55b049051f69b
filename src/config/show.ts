/** A raw value as an error message shows it: short, on one line, without secrets. */
import { REDACTED } from '../core/redact-url.ts'
import { redactUrl } from './redact.ts'
import type { Secrecy } from './section.ts'

const MAX_SHOWN = 80

/** `"abc"`, `10`, `a list`; `***` for a secret; a connection string without its credentials. */
export function showRaw(raw: unknown, secrecy: Secrecy): string {
  if (secrecy === 'secret') return REDACTED
  if (Array.isArray(raw)) return 'a list'
  if (typeof raw === 'object' && raw !== null) return 'a mapping'
  if (typeof raw === 'string') {
    // A connection string is often pasted into the wrong field, so credentials are taken out of every text.
    const safe = secrecy === 'url' ? firstWord(redactUrl(raw)) : redactUrl(raw)
    return JSON.stringify(safe.length > MAX_SHOWN ? `${safe.slice(0, MAX_SHOWN)}…` : safe)
  }
  return typeof raw === 'function' || typeof raw === 'symbol' ? `a ${typeof raw}` : String(raw)
}

/** An address has no blanks, but for pairs: what stands behind one may be anything. */
function firstWord(text: string): string {
  return /^\s*[\w.-]+\s*=/.test(text) ? text : text.trim().replace(/^(\S+\s)[^]+$/, `$1${REDACTED}`)
}
