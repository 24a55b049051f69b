/** The driver, loaded on first use. */
import type * as Driver from 'mongodb'
import { loadPeer } from '../../../app/peer.ts'

export type MongoModule = typeof Driver

export function loadMongo(): Promise<MongoModule> {
  return loadPeer('mongodb', 'mongo', () => import('mongodb'))
}
