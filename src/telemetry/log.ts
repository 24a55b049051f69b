/** The logger that every part is handed: pino's call shape, and nothing more, so that any logger fits. */

/**
 * Each level takes a message, fields, or an error, the latter two with or without a message. An error is the field
 * `err`, and its message the message where none is given. There is no printf: `%s` is written as it stands.
 */
export interface Logger {
  debug(what: string | object, message?: string): void
  info(what: string | object, message?: string): void
  warn(what: string | object, message?: string): void
  error(what: string | object, message?: string): void
  /** A logger that adds `fields` to each line; those of the line win. */
  child(fields: object): Logger
}

/** Swallows everything; for tests and for parts used without an app. */
export const silentLogger: Logger = Object.freeze({
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => silentLogger,
})
