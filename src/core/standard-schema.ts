/** Standard Schema 1.0 (zod, valibot, arktype, …), as far as it is used here. See https://standardschema.dev. */
import { SluiceError } from './errors.ts'

export interface StandardSchema<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>
    readonly types?: { readonly input: Input; readonly output: Output } | undefined
    /** Standard JSON Schema 1.0, where the library has it. */
    readonly jsonSchema?: {
      readonly input: (options: { readonly target: 'draft-2020-12' }) => Record<string, unknown>
      readonly output: (options: { readonly target: 'draft-2020-12' }) => Record<string, unknown>
    }
  }
}

export type StandardResult<Output> =
  { readonly value: Output; readonly issues?: undefined } | { readonly issues: readonly StandardIssue[] }

export interface StandardIssue {
  readonly message: string
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}

/** Is this a Standard Schema, and not a JSON Schema? */
export function isStandardSchema(value: unknown): value is StandardSchema {
  return (
    (typeof value === 'object' || typeof value === 'function') &&
    value !== null &&
    '~standard' in value &&
    typeof value['~standard'] === 'object'
  )
}

/** Where in the value the issue is: `items.0.name`. */
export function issuePath(issue: StandardIssue): readonly PropertyKey[] {
  return (issue.path ?? []).map((part) => (typeof part === 'object' ? part.key : part))
}

/** Issues that an error names; the rest are counted. */
const MAX_ISSUES = 10

/**
 * The value as the schema gives it. Throws, or rejects where the schema is async, with SLUICE_INVALID_DATA, which names
 * each place and what the schema says of it, and never the value.
 */
export function checkData<Output>(
  schema: StandardSchema<unknown, Output>,
  value: unknown,
  what: string,
): Output | Promise<Output> {
  const result = schema['~standard'].validate(value)
  return result instanceof Promise ? result.then((late) => take(late, what)) : take(result, what)
}

function take<Output>(result: StandardResult<Output>, what: string): Output {
  if (result.issues === undefined) return result.value
  const lines = result.issues.slice(0, MAX_ISSUES).map((issue) => {
    const path = issuePath(issue).map(String).join('.')
    const message = issue.message.replaceAll(/\s+/g, ' ').slice(0, 300)
    return path === '' ? message : `${path}: ${message}`
  })
  const more = result.issues.length - lines.length
  if (more > 0) lines.push(`and ${more} more`)
  throw new SluiceError('SLUICE_INVALID_DATA', `${what}: ${lines.join('; ')}`, {
    details: { issues: result.issues.length },
  })
}
