/** What is written to a collection. */
import type {
  Collection,
  Db,
  Document,
  InsertOneResult,
  UpdateFilter,
  UpdateOptions,
  UpdateResult,
  WithId,
} from 'mongodb'
import type { CollectionOptions, TransactionCollection } from './api.ts'
import { bulkOptions, bulkWrite } from './bulk.ts'
import { driverOptions, send } from './call.ts'
import { specPair, type Scope, type SpecPair } from './host.ts'
import { checkDocument, Insert, isTakenId } from './inserts.ts'

const INSERT_ONE = specPair('insertOne')
const INSERT_MANY = specPair('insertMany')
const UPDATE_ONE = specPair('updateOne')
const UPDATE_MANY = specPair('updateMany')
const UPSERT_ONE = specPair('upsertOne')
const REPLACE_ONE = specPair('replaceOne')
const DELETE_ONE = specPair('deleteOne')
const DELETE_MANY = specPair('deleteMany')
const FIND_ONE_AND_UPDATE = specPair('findOneAndUpdate')
const FIND_ONE_AND_DELETE = specPair('findOneAndDelete')
const BULK_WRITE = specPair('bulkWrite')

type Writes<T extends Document> = Omit<
  TransactionCollection<T>,
  'aggregate' | 'count' | 'distinct' | 'find' | 'findOne' | 'name'
>

export function createWrites<T extends Document>(
  scope: Scope,
  name: string,
  settings: CollectionOptions<T> | undefined,
): Writes<T> {
  const of = (db: Db): Collection<T> => db.collection<T>(name)
  const module = () => scope.host.module()

  const update =
    (
      spec: SpecPair,
      method: 'updateMany' | 'updateOne',
      upsert: { readonly upsert?: true },
    ): Writes<T>['updateOne'] =>
    (filter, change, options) =>
      send(scope, {
        spec,
        target: name,
        repeatable: options?.idempotent ?? false,
        options,
        body: (db, command) =>
          of(db)[method](
            filter,
            change as UpdateFilter<T>,
            {
              ...driverOptions(options),
              ...upsert,
              ...command,
            } as UpdateOptions,
          ),
      })

  return {
    insertOne: (document, options) => {
      const insert = new Insert(document, name, settings?.schema)
      return send<InsertOneResult<T>>(scope, {
        spec: INSERT_ONE,
        target: name,
        repeatable: options?.idempotent ?? insert.isNumberedHere,
        options,
        body: async (db, command, call) => {
          const ready = await insert.document(module())
          try {
            return await of(db).insertOne(ready as typeof document, { ...driverOptions(options), ...command })
          } catch (error) {
            if (call.attempt === 1 || !insert.isOurs || !isTakenId(error as Document)) throw error
            return { acknowledged: true, insertedId: ready['_id'] as InsertOneResult<T>['insertedId'] }
          }
        },
      })
    },
    insertMany: (documents, options) => {
      const inserts = documents.map((document) => new Insert(document, name, settings?.schema))
      return send(scope, {
        spec: INSERT_MANY,
        target: name,
        repeatable: options?.idempotent ?? false,
        options,
        body: async (db, command) => {
          const ready = await Promise.all(inserts.map(async (insert) => insert.document(module())))
          const writes = ready.map((document) => ({
            insertOne: { document },
          }))
          const { insertedCount, insertedIds } = await bulkWrite(
            scope,
            of(db) as unknown as Collection,
            writes,
            {
              ...bulkOptions({ ...options, ordered: true }),
              ...command,
            },
          )
          return { acknowledged: true, insertedCount, insertedIds: { ...insertedIds } }
        },
      })
    },
    updateOne: update(UPDATE_ONE, 'updateOne', {}),
    updateMany: update(UPDATE_MANY, 'updateMany', {}) as Writes<T>['updateMany'],
    upsertOne: update(UPSERT_ONE, 'updateOne', { upsert: true }),
    replaceOne: (filter, document, options) =>
      send(scope, {
        spec: REPLACE_ONE,
        target: name,
        repeatable: options?.idempotent ?? false,
        options,
        body: async (db, command) => {
          const checked = await checkDocument(document, name, settings?.schema)
          return (await of(db).replaceOne(filter, checked as typeof document, {
            ...driverOptions(options),
            ...command,
          })) as UpdateResult<T>
        },
      }),
    deleteOne: (filter, options) =>
      send(scope, {
        spec: DELETE_ONE,
        target: name,
        repeatable: options?.idempotent ?? false,
        options,
        body: (db, command) => of(db).deleteOne(filter, { ...driverOptions(options), ...command }),
      }),
    deleteMany: (filter, options) =>
      send(scope, {
        spec: DELETE_MANY,
        target: name,
        repeatable: options?.idempotent ?? false,
        options,
        body: (db, command) => of(db).deleteMany(filter, { ...driverOptions(options), ...command }),
      }),
    findOneAndUpdate: (filter, change, options) =>
      send(scope, {
        spec: FIND_ONE_AND_UPDATE,
        target: name,
        repeatable: options?.idempotent ?? false,
        options,
        body: (db, command) =>
          of(db).findOneAndUpdate(filter, change as UpdateFilter<T>, {
            ...driverOptions(options),
            ...command,
          }) as Promise<WithId<T> | null>,
      }),
    findOneAndDelete: (filter, options) =>
      send(scope, {
        spec: FIND_ONE_AND_DELETE,
        target: name,
        repeatable: options?.idempotent ?? false,
        options,
        body: (db, command) =>
          of(db).findOneAndDelete(filter, {
            ...driverOptions(options),
            ...command,
          }) as Promise<WithId<T> | null>,
      }),
    bulkWrite: (writes, options) =>
      send(scope, {
        spec: BULK_WRITE,
        target: name,
        repeatable: options?.idempotent ?? false,
        options,
        body: (db, command) => bulkWrite(scope, of(db), writes, { ...bulkOptions(options), ...command }),
      }),
  }
}
