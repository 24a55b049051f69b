/** Checks bodies, queries, parameters and headers against the route's schemas; a fault is a 400 with path and reason. */
import type { FastifySchemaCompiler, FastifySerializerCompiler } from 'fastify'
import { isStandardSchema, type StandardIssue, type StandardResult } from './schema.ts'

type FastifyValidationResult = ReturnType<FastifySchemaCompiler<unknown>>

/** What does not fit the schema. Becomes the `errors` of the problem. */
export class InvalidRequest extends Error {
  override readonly name = 'InvalidRequest'
  readonly statusCode = 400
  readonly expose = true
  readonly code = 'INVALID_REQUEST'
  readonly problems: readonly { readonly path: string; readonly reason: string }[]

  constructor(part: Part, issues: readonly StandardIssue[], data: unknown) {
    super(`The ${PART_NAMES[part]} not have the expected form.`)
    this.problems = issues.slice(0, MAX_ISSUES).map((issue) => ({
      path: [part, ...pathOf(issue)].join('.'),
      // What stands in the address is said again; a body or a header may hold a secret.
      reason: part === 'query' || part === 'params' ? withGiven(issue, data) : issue.message,
    }))
  }
}

/** Problems that one answer lists; a hostile body cannot make it longer. */
const MAX_ISSUES = 50

function pathOf(issue: StandardIssue): readonly string[] {
  return (issue.path ?? []).map((part) => String(typeof part === 'object' ? part.key : part))
}

/** Characters of a value that an answer repeats. */
const MAX_SHOWN = 40

/** `expected number, got "ten"`: what the client sent, and not the NaN that was made of it. */
function withGiven(issue: StandardIssue, data: unknown): string {
  const expected = issue.message.replace(/, received \w+$/, '')
  let given = data
  for (const key of pathOf(issue)) {
    if (typeof given !== 'object' || given === null || !Object.hasOwn(given, key)) {
      return `${expected}, got nothing`
    }
    given = (given as Readonly<Record<string, unknown>>)[key]
  }
  if (typeof given !== 'string') return issue.message
  const shown = given.length > MAX_SHOWN ? `${given.slice(0, MAX_SHOWN)}…` : given
  return `${expected}, got ${JSON.stringify(shown)}`
}

type Part = 'body' | 'query' | 'params' | 'headers'

/** Each with its verb. */
const PART_NAMES: Readonly<Record<Part, string>> = {
  body: 'body does',
  query: 'query does',
  params: 'parameters of the path do',
  headers: 'headers do',
}

/** Fastify's names of them. */
const PARTS: Readonly<Record<string, Part>> = {
  body: 'body',
  querystring: 'query',
  params: 'params',
  headers: 'headers',
}

/**
 * Standard Schemas are compiled here; a plain JSON Schema goes to `fallback`, Fastify's own compiler, so that both may
 * be used in one app.
 */
export function validatorCompiler(fallback: FastifySchemaCompiler<unknown>): FastifySchemaCompiler<unknown> {
  return (route) => {
    const { schema, httpPart } = route
    if (!isStandardSchema(schema)) return fallback(route)
    const part = PARTS[httpPart ?? 'body'] ?? 'body'
    const validate = schema['~standard'].validate
    const settle = (result: StandardResult<unknown>, data: unknown): { value: unknown } | { error: Error } =>
      result.issues === undefined
        ? { value: result.value }
        : { error: new InvalidRequest(part, result.issues, data) }
    const check = (data: unknown): unknown => {
      const result = validate(data)
      return result instanceof Promise
        ? result.then((settled) => settle(settled, data))
        : settle(result, data)
    }
    // Fastify awaits what validators return; its type asks for a branded promise that nobody can make.
    return check as FastifyValidationResult
  }
}

/** Replies pass through their schema too, so that fields which it does not name are not sent. */
export function serializerCompiler(
  fallback: FastifySerializerCompiler<unknown>,
): FastifySerializerCompiler<unknown> {
  return (route) => {
    const { schema } = route
    if (!isStandardSchema(schema)) return fallback(route)
    const validate = schema['~standard'].validate
    return (data: unknown) => {
      const result = validate(data)
      if (result instanceof Promise) {
        throw new TypeError(`${route.method} ${route.url}: the schema of a reply must not be async`)
      }
      if (result.issues !== undefined) {
        const first = result.issues[0]
        throw new TypeError(
          `${route.method} ${route.url}: the reply does not fit its schema` +
            (first === undefined ? '' : ` at ${pathOf(first).join('.')}: ${first.message}`),
        )
      }
      return JSON.stringify(result.value)
    }
  }
}
