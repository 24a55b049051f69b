/** Errors that a route may throw; `expose` says that their message is for the client. The app makes problem+json of them. */
export class NotFound extends Error {
  readonly statusCode = 404
  readonly expose = true
  readonly code = 'COMMUNITY_NOT_FOUND'

  constructor(what: string, id: string) {
    super(`no ${what} ${id}`)
  }
}

export class Refused extends Error {
  readonly statusCode: number
  readonly expose = true
  readonly code = 'COMMUNITY_REFUSED'

  constructor(statusCode: 401 | 403 | 409 | 422, why: string) {
    super(why)
    this.statusCode = statusCode
  }
}
