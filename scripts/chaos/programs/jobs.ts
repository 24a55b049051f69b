/** The jobs of a chaos run: what clients enqueue and workers handle. */
import { z } from 'zod'
import { job } from '../../../src/jobs/index.ts'

const data = z.object({ id: z.string() })
/** So many at once that workers take them by lots, where there are so many. */
const MANY = { concurrency: 60 } as const
const options = { attempts: 50, backoff: { base: '20ms', max: '500ms' }, timeout: '20s' } as const

/** Its effect is a line of the ledger. */
export const Plain = job('chaos.plain', data, { ...options, ...MANY })
/** Its effect is a row in the transaction that the handler is given. */
export const InTransaction = job('chaos.tx', data, { ...options, ...MANY })
/** One at a time and in order for each key. */
export const Keyed = job('chaos.keyed', data, options)
