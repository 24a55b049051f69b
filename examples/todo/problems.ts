/** An error that a route may throw; `expose` says that its message is for the client. The app makes problem+json of it. */
export class NotFound extends Error {
  readonly statusCode = 404
  readonly expose = true
  readonly code = 'TODO_NOT_FOUND'

  constructor(what: string, id: string) {
    super(`no ${what} ${id}`)
  }
}
