/** Standard Schema (zod, valibot, arktype, …) as the language of route schemas. See https://standardschema.dev. */
import type { FastifyTypeProvider } from 'fastify'

/** The part of Standard Schema 1.0 that is used here. */
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

/** Gives `request.body`, `query`, `params` and the reply the types of the route's Standard Schemas. */
export interface StandardTypeProvider extends FastifyTypeProvider {
  readonly validator: this['schema'] extends {
    readonly '~standard': { readonly types?: { readonly output: infer Output } | undefined }
  }
    ? Output
    : unknown
  readonly serializer: this['schema'] extends {
    readonly '~standard': { readonly types?: { readonly input: infer Input } | undefined }
  }
    ? Input
    : unknown
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
