/** Text from outside on its way into a database: cut, and of characters that one can hold. */

/**
 * At most `maxLength` UTF-16 units of `text`, with U+FFFD in place of what PostgreSQL's text and JSON cannot hold: NUL, and
 * halves of surrogate pairs, also the one that a cut leaves.
 */
export function storedText(text: string, maxLength: number): string {
  return text.slice(0, maxLength).toWellFormed().replaceAll('\0', '\u{FFFD}')
}
