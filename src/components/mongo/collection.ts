/** One collection: what is read, what is written, and what stays open. */
import type { ChangeStreamDocument, Document } from 'mongodb'
import { invalidArgument } from '../../core/errors.ts'
import type { CollectionOptions, MongoCollection, TransactionCollection } from './api.ts'
import { insertBatch } from './batch.ts'
import { driverOptions, send } from './call.ts'
import { plainScope, specPair, type DatabaseHost, type Scope } from './host.ts'
import { createReads, limitOf } from './reads.ts'
import { streamOf } from './stream.ts'
import { openFeed } from './watch.ts'
import { createWrites } from './writes.ts'

const ESTIMATED_COUNT = specPair('estimatedCount')
const CREATE_INDEX = specPair('createIndex')
const DROP = specPair('drop')

export function transactionCollection<T extends Document>(
  scope: Scope,
  name: string,
  settings: CollectionOptions<T> | undefined,
): TransactionCollection<T> {
  checkName(name)
  return { name, ...createReads<T>(scope, name), ...createWrites<T>(scope, name, settings) }
}

export function createCollection<T extends Document>(
  host: DatabaseHost,
  name: string,
  settings: CollectionOptions<T> | undefined,
): MongoCollection<T> {
  const scope = plainScope(host)
  return {
    ...transactionCollection<T>(scope, name, settings),
    insertBatch: (documents, options) => insertBatch(scope, name, documents, options, settings?.schema),
    stream: (filter = {}, options) => {
      const { batchSize: _batchSize, idleTimeout: _idleTimeout, limit: _limit, ...rest } = options ?? {}
      const limit = limitOf(options, 0)
      return streamOf({
        host,
        name,
        options,
        open: (db, settled) =>
          db
            .collection<T>(name)
            .find(filter, { ...driverOptions(rest), ...(limit > 0 && { limit }), ...settled }),
      })
    },
    aggregateStream: (pipeline, options) => {
      const { batchSize: _batchSize, idleTimeout: _idleTimeout, ...rest } = options ?? {}
      return streamOf({
        host,
        name,
        options,
        open: (db, settled) =>
          db.collection(name).aggregate([...pipeline], { ...driverOptions(rest), ...settled }) as never,
      })
    },
    estimatedCount: (options) =>
      send(scope, {
        spec: ESTIMATED_COUNT,
        target: name,
        repeatable: true,
        options,
        body: (db, command) => db.collection(name).estimatedDocumentCount(command),
      }),
    watch: (options) =>
      openFeed<ChangeStreamDocument<T>>({
        host,
        name,
        options,
        open: (db, pipeline, settled) => db.collection<T>(name).watch(pipeline, settled) as never,
      }),
    createIndex: (keys, options) =>
      send(scope, {
        spec: CREATE_INDEX,
        target: name,
        repeatable: true,
        options,
        body: (db, command) =>
          db.collection(name).createIndex(keys, { ...driverOptions(options), ...command }),
      }),
    drop: (options) =>
      send(scope, {
        spec: DROP,
        target: name,
        repeatable: true,
        options,
        body: async (db, command) => {
          await db.collection(name).drop(command)
        },
      }),
  }
}

function checkName(name: unknown): void {
  if (typeof name === 'string' && name !== '' && !/[$\0]/.test(name) && !name.startsWith('system.')) return
  throw invalidArgument(
    'the name of a collection',
    "a text without $ that does not begin with 'system.'",
    name,
  )
}
