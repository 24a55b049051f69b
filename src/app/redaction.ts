/** What may be shown of errors to those who may see detail: no secret, no address of a machine. */
import { createRedactor } from '../telemetry/redact.ts'

/** `10.0.0.5:5432`, `[fd00::1]:6379`, `db.internal:5432`, `postgres://db/app`, `getaddrinfo ENOTFOUND db.internal`. */
const HOSTS: readonly RegExp[] = [
  /\b[a-z][a-z0-9+.-]*:\/\/[^\s"'<>]+/gi,
  /\[[0-9a-f:.%]+\](?::\d+)?/gi,
  /\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b/g,
  /(?<=\b(?:ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH)\s)[^\s"',;)]+/g,
  /\b[\w-]+(?:\.[\w-]+)*:\d{2,5}\b/g,
  /(?<![\w.])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![\w:])/gi,
]

/** A text without anything that says where a machine is. */
export function withoutHosts(text: string): string {
  return HOSTS.reduce((shown, pattern) => shown.replaceAll(pattern, '<host>'), text)
}

/** For those outside: no secret of the configuration, and no host either. */
export function redactorOf(secrets: readonly string[]): (text: string) => string {
  const withoutSecrets = createRedactor(secrets).text
  return (text) => withoutHosts(withoutSecrets(text))
}
