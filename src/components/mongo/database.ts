/** The calls on one database. */
import type { Document } from 'mongodb'
import { invalidArgument } from '../../core/errors.ts'
import type { CollectionOptions, MongoDatabase } from './api.ts'
import { batch } from './batch.ts'
import { send } from './call.ts'
import { createCollection } from './collection.ts'
import { plainScope, specPair, type DatabaseHost } from './host.ts'
import { resumeStore } from './resume-store.ts'
import { transaction } from './transaction.ts'
import { openFeed } from './watch.ts'

const COMMAND = specPair('command')
const COLLECTIONS = specPair('collections')

export function createDatabase(host: DatabaseHost): MongoDatabase {
  const scope = plainScope(host)
  return {
    collection: <T extends Document>(name: string, options?: CollectionOptions<T>) =>
      createCollection<T>(host, name, options),
    batch: (writes, options) => batch(scope, writes, options),
    transaction: (fn, options) => transaction(host, fn, options),
    watch: (options) =>
      openFeed({
        host,
        name: 'the database',
        options,
        open: (db, pipeline, settings) => db.watch(pipeline, settings) as never,
      }),
    resumeStore: (name, options) => resumeStore(host, name, options?.collection),
    command: (command, options) =>
      send(scope, {
        spec: COMMAND,
        target: 'the database',
        repeatable: options?.idempotent ?? false,
        options,
        body: (db, { signal, maxTimeMS }) => {
          if (typeof command !== 'object' || command === null || Object.keys(command).length === 0)
            throw invalidArgument('command', 'a document', command)
          return db.command(maxTimeMS === undefined ? command : { ...command, maxTimeMS }, { signal })
        },
      }),
    collections: (options) =>
      send(scope, {
        spec: COLLECTIONS,
        target: 'the database',
        repeatable: true,
        options,
        body: async (db, command) => {
          const found = await db.listCollections({}, { nameOnly: true, ...command }).toArray()
          return found.map(({ name }) => name)
        },
      }),
  }
}
