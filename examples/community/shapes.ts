/** Shapes that requests share, and who asks. */
import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import { Refused } from './problems.ts'

export const id = z.string().regex(/^[1-9]\d{0,17}$/, 'a number')
export const byId = z.object({ id })
export const text = z.string().trim().min(1).max(4_000)
export const paging = z.object({
  limit: z.coerce.number().int().min(1).max(100).default(20),
  before: id.optional(),
})

/**
 * Who asks: the header `x-user` says so, and is believed. A service for others puts its login here, and nothing else
 * changes.
 */
export function whoAsks({ headers }: FastifyRequest): string {
  const who = id.safeParse(headers['x-user'])
  if (!who.success) throw new Refused(401, 'the header x-user says who you are: the id of a user')
  return who.data
}
