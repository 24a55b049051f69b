/**
 * Fastify's own schema compilers (ajv and fast-json-stringify), loaded when a route first uses plain JSON Schema.
 * Services that use Standard Schema only never pay for them: together they are a quarter of Fastify's import time.
 */
import { createRequire } from 'node:module'
import type { FastifySchemaCompiler, FastifySerializerCompiler } from 'fastify'
import { serializerCompiler, validatorCompiler } from './validate.ts'

type BuildValidator = (schemas: unknown, ajv: unknown) => FastifySchemaCompiler<unknown>
type BuildSerializer = (schemas: unknown, options: unknown) => FastifySerializerCompiler<unknown>

export interface CompilersFactory {
  readonly buildValidator: BuildValidator
  readonly buildSerializer: BuildSerializer
}

export function compilersFactory(): CompilersFactory {
  // They are dependencies of Fastify, so they are found from where Fastify is.
  const load = <T>(name: string): T => {
    const here = createRequire(import.meta.url)
    return createRequire(here.resolve('fastify'))(name) as T
  }
  let validators: BuildValidator | undefined
  let serializers: BuildSerializer | undefined
  return {
    buildValidator: (schemas, ajv) => {
      const fallback = lazily(() => {
        validators ??= load<() => BuildValidator>('@fastify/ajv-compiler')()
        return validators(schemas, ajv)
      })
      return validatorCompiler((route) => fallback()(route))
    },
    buildSerializer: (schemas, options) => {
      const fallback = lazily(() => {
        serializers ??= load<() => BuildSerializer>('@fastify/fast-json-stringify-compiler')()
        return serializers(schemas, options)
      })
      return serializerCompiler((route) => fallback()(route))
    },
  }
}

function lazily<T>(make: () => T): () => T {
  let made: T | undefined
  return () => (made ??= make())
}
