/**
 * OpenAPI 3.1 of the routes, made when `/openapi.json` is first asked for: what a start pays is one array push a route.
 * Schemas come from the routes' own: JSON Schema as it is, Standard Schema by its own JSON Schema where the library
 * has one (zod from 4.2, others by Standard JSON Schema); what cannot be said in JSON Schema is shown as anything.
 */
import type { FastifyInstance, RouteOptions } from 'fastify'
import { isStandardSchema } from './schema.ts'

type Json = Record<string, unknown>

/** Where a route says whose it is; set by the scope of its service. */
export interface ServiceMark {
  readonly service?: string
}

export interface OpenApi {
  /** Collects the routes of `http` and of every scope below it, from now on. */
  collect(http: FastifyInstance): void
  document(info: { readonly title: string; readonly version: string }): Promise<Json>
}

export function createOpenApi(): OpenApi {
  const routes: RouteOptions[] = []
  let made: Promise<Json> | undefined
  return {
    collect(http) {
      http.addHook('onRoute', (route) => void routes.push(route))
    },
    document(info) {
      made ??= describe(routes, info)
      return made
    },
  }
}

async function describe(
  routes: readonly RouteOptions[],
  info: { readonly title: string; readonly version: string },
): Promise<Json> {
  const paths: Record<string, Json> = {}
  for (const route of routes) {
    const { service } = (route.config ?? {}) as ServiceMark
    const schema = (route.schema ?? {}) as Json
    if (schema['hide'] === true) continue
    const path = route.url.replaceAll(/:(\w+)(?:\([^)]*\))?\??/g, '{$1}').replace('*', '{wildcard}')
    for (const method of [route.method].flat()) {
      // Fastify answers HEAD wherever there is a GET; saying so for each route would only be noise.
      if (method === 'HEAD' || !METHODS.has(method)) continue
      const operation = await operationOf(route.url, schema, service)
      paths[path] = { ...paths[path], [method.toLowerCase()]: operation }
    }
  }
  return { openapi: '3.1.0', info, paths, components: { schemas: { Problem: PROBLEM } } }
}

const METHODS: ReadonlySet<string> = new Set(['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE'])

async function operationOf(url: string, schema: Json, service: string | undefined): Promise<Json> {
  const { summary, description, tags, operationId, deprecated, body, response } = schema
  const parameters = [
    ...(await pathParameters(url, schema['params'])),
    ...(await parametersOf('query', schema['querystring'])),
    ...(await parametersOf('header', schema['headers'])),
  ]
  return {
    ...defined({ summary, description, operationId, deprecated }),
    ...(tags !== undefined ? { tags } : service === undefined ? {} : { tags: [service] }),
    ...(parameters.length > 0 && { parameters }),
    ...(body !== undefined && {
      requestBody: {
        required: true,
        content: { 'application/json': { schema: await jsonSchema(body, 'input') } },
      },
    }),
    responses: await responsesOf(response),
  }
}

async function responsesOf(response: unknown): Promise<Json> {
  const responses: Json = {}
  for (const [status, given] of Object.entries((response ?? {}) as Json)) {
    const description = (given as Json)['description'] ?? 'Answer'
    const content = { 'application/json': { schema: await jsonSchema(given, 'output') } }
    responses[status] = { description, content }
  }
  // Which success it is, only its handler knows.
  if (Object.keys(responses).length === 0) responses['2XX'] = { description: 'Answer' }
  const problem = { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } }
  responses['default'] = { description: 'What went wrong', content: problem }
  return responses
}

async function pathParameters(url: string, schema: unknown): Promise<readonly Json[]> {
  const described = await parametersOf('path', schema)
  const names = [...url.matchAll(/:(\w+)/g)].map((match) => match[1]!)
  if (url.includes('*')) names.push('wildcard')
  return names.map((name) => ({
    ...(described.find((parameter) => parameter['name'] === name) ?? { schema: { type: 'string' } }),
    name,
    in: 'path',
    required: true,
  }))
}

async function parametersOf(place: string, schema: unknown): Promise<readonly Json[]> {
  if (schema === undefined) return []
  const { properties = {}, required = [] } = (await jsonSchema(schema, 'input')) as {
    readonly properties?: Json
    readonly required?: readonly string[]
  }
  return Object.entries(properties).map(([name, property]) => ({
    name,
    in: place,
    required: required.includes(name),
    schema: property,
  }))
}

async function jsonSchema(schema: unknown, side: 'input' | 'output'): Promise<Json> {
  if (!isStandardSchema(schema)) return schema as Json
  const { jsonSchema: own, vendor } = schema['~standard']
  try {
    if (own !== undefined) return withoutDialect(own[side]({ target: 'draft-2020-12' }))
  } catch {
    // It holds something that JSON Schema has no word for, such as a date: zod is asked to leave that open.
  }
  if (vendor !== 'zod') return {}
  const { toJSONSchema } = await import('zod')
  try {
    return withoutDialect(toJSONSchema(schema as never, { io: side, unrepresentable: 'any' }))
  } catch {
    return {}
  }
}

function withoutDialect(schema: object): Json {
  return Object.fromEntries(Object.entries(schema).filter(([key]) => key !== '$schema'))
}

function defined(given: Json): Json {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
}

const PROBLEM = Object.freeze({
  type: 'object',
  required: ['type', 'title', 'status', 'code'],
  properties: {
    type: { type: 'string' },
    title: { type: 'string' },
    status: { type: 'integer' },
    code: { type: 'string' },
    detail: { type: 'string' },
    request_id: { type: 'string' },
    errors: {
      type: 'array',
      items: { type: 'object', properties: { path: { type: 'string' }, reason: { type: 'string' } } },
    },
  },
})
