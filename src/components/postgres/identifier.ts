/** Names of tables, columns, channels and databases, which cannot be parameters and so are quoted into the text. */
import { SluiceError } from '../../core/errors.ts'

/** PostgreSQL cuts longer names silently: two tenants could become one. */
const MAX_BYTES = 63

/** The name in double quotes. Throws SLUICE_INVALID_ARGUMENT for what is no name. */
export function quoteName(name: string, what: string): string {
  const wrong =
    typeof name !== 'string' || name === ''
      ? 'text that is not empty'
      : name.includes('\0')
        ? 'a name without a NUL character'
        : Buffer.byteLength(name) > MAX_BYTES
          ? `a name of at most ${MAX_BYTES} bytes`
          : undefined
  if (wrong !== undefined) {
    throw new SluiceError(
      'SLUICE_INVALID_ARGUMENT',
      `${what}: expected ${wrong}, got ${JSON.stringify(name)?.slice(0, 80)}`,
    )
  }
  return `"${name.replaceAll('"', '""')}"`
}

/** `table` or `schema.table`, each part in double quotes. */
export function quoteTable(name: string): string {
  const parts = typeof name === 'string' ? name.split('.') : []
  if (parts.length > 2) {
    throw new SluiceError(
      'SLUICE_INVALID_ARGUMENT',
      `table: expected table or schema.table, got ${JSON.stringify(name).slice(0, 80)}`,
    )
  }
  return (parts.length === 0 ? [name] : parts).map((part) => quoteName(part, 'table')).join('.')
}
