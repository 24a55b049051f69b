/** What every way of transport is tried for. The table of features decides what must work and what must be refused. */
import { after, before, test, type TestContext } from 'node:test'
import { TRANSPORTS, type Transport, type TransportFeatures } from '../../../../src/events/index.ts'
import { missingFor, openPlace, type Place, type Service } from '../places.ts'
import { deliveries } from './deliveries.ts'
import { deadLetters } from './dead-letters.ts'
import { orders } from './orders.ts'
import { past } from './past.ts'
import { publishing } from './publishing.ts'
import { steering } from './steering.ts'
import { transactions } from './transactions.ts'

export interface Stage {
  readonly transport: Transport
  readonly features: TransportFeatures
  readonly place: () => Place
  readonly writer: () => Service
  readonly reader: () => Service
  /** A test of this suite; waits end with it. */
  readonly check: (name: string, fn: (context: TestContext) => Promise<void>) => void
}

const LIMIT_MS = 60_000

export async function transportConformance(transport: Transport): Promise<void> {
  const skip = await missingFor(transport)
  let place: Place | undefined
  let writer: Service | undefined
  let reader: Service | undefined
  before(async () => {
    if (skip !== false) return
    place = await openPlace(transport)
    writer = await place.join('writer')
    reader = await place.join('reader')
  })
  after(async () => {
    await place?.[Symbol.asyncDispose]()
  })
  const stage: Stage = {
    transport,
    features: TRANSPORTS[transport],
    place: () => place!,
    writer: () => writer!,
    reader: () => reader!,
    check: (name, fn) => void test(`${transport}: ${name}`, { skip, timeout: LIMIT_MS }, fn),
  }
  for (const part of [publishing, deliveries, orders, past, deadLetters, transactions, steering]) part(stage)
}
