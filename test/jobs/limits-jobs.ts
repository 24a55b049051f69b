/** Jobs with limits, known to the test and to its processes. */
import { z } from 'zod'
import { job } from '../../src/jobs/index.ts'

const data = z.object({ key: z.string() })
export const RATE = { limit: 20, per: 400 } as const
export const KEY_RATE = { limit: 2, per: 300, by: 'key' } as const

export const Few = job('few', data, { limit: { running: 3 } })
export const TwoByKey = job('two', data, { limit: { running: 2, by: 'key' } })
export const Often = job('often', data, { rate: RATE })
export const OftenByKey = job('often_by_key', data, { rate: KEY_RATE })
