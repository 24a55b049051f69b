/** An error that a route may throw; the app turns its status and code into problem+json. */
export class NotFound extends Error {
  readonly statusCode = 404
  readonly code = 'TODO_NOT_FOUND'

  constructor(what: string, id: string) {
    super(`no ${what} ${id}`)
  }
}
