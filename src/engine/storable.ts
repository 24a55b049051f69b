/** Texts of users that are stored as they are: keys, groups, unique names. */

/** 1 to `maxLength` UTF-16 units of what PostgreSQL can hold: neither NUL nor half a surrogate pair. */
export function isStorable(text: unknown, maxLength: number): text is string {
  return (
    typeof text === 'string' &&
    text.length > 0 &&
    text.length <= maxLength &&
    text.isWellFormed() &&
    !text.includes('\0')
  )
}
