/** Errors that a route may throw; the app turns their status and code into problem+json. */
export class NotFound extends Error {
  readonly statusCode = 404
  readonly code = 'COMMUNITY_NOT_FOUND'

  constructor(what: string, id: string) {
    super(`no ${what} ${id}`)
  }
}

export class Refused extends Error {
  readonly statusCode: number
  readonly code = 'COMMUNITY_REFUSED'

  constructor(statusCode: 401 | 403 | 409 | 422, why: string) {
    super(why)
    this.statusCode = statusCode
  }
}
