/** Standard Schema (zod, valibot, arktype, …) as the language of route schemas. See https://standardschema.dev. */
import type { FastifyTypeProvider } from 'fastify'

export { isStandardSchema, type StandardIssue, type StandardResult } from '../../core/standard-schema.ts'

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
