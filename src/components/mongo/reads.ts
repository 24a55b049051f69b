/** What is read from a collection at once: bounded by count. */
import type { AbstractCursor, Collection, Db, Document, WithId } from 'mongodb'
import { invalidArgument, SluiceError } from '../../core/errors.ts'
import type { FindManyOptions, TransactionCollection } from './api.ts'
import { driverOptions, send } from './call.ts'
import { specPair, type Scope } from './host.ts'

const FIND_ONE = specPair('findOne')
const FIND = specPair('find')
const COUNT = specPair('count')
const DISTINCT = specPair('distinct')
const AGGREGATE = specPair('aggregate')
/** Documents of a first batch at most; the driver's own first batch has 101, and what is left costs a round trip. */
const FIRST_BATCH = 1_000

type Reads<T extends Document> = Pick<
  TransactionCollection<T>,
  'aggregate' | 'count' | 'distinct' | 'find' | 'findOne'
>

export function createReads<T extends Document>(scope: Scope, name: string): Reads<T> {
  const { maxDocuments } = scope.host.config
  const of = (db: Db): Collection<T> => db.collection<T>(name)
  return {
    findOne: (filter = {}, options) =>
      send(scope, {
        spec: FIND_ONE,
        target: name,
        repeatable: true,
        options,
        body: (db, command) =>
          // The driver's own types narrow the projection.
          of(db).findOne(filter, { ...driverOptions(options), ...command }) as Promise<WithId<T> | null>,
      }),
    find: (filter = {}, options) =>
      send(scope, {
        spec: FIND,
        target: name,
        repeatable: true,
        options,
        body: async (db, command) => {
          const limit = limitOf(options, maxDocuments + 1)
          const cursor = of(db).find(filter, {
            ...driverOptions(options),
            limit,
            batchSize: Math.min(limit, FIRST_BATCH),
            ...command,
          })
          return bounded(await collect(cursor), options?.limit ?? maxDocuments, name, 'find')
        },
      }),
    count: (filter = {}, options) =>
      send(scope, {
        spec: COUNT,
        target: name,
        repeatable: true,
        options,
        body: (db, command) => of(db).countDocuments(filter, { ...driverOptions(options), ...command }),
      }),
    distinct: (key, filter = {}, options) =>
      send(scope, {
        spec: DISTINCT,
        target: name,
        repeatable: true,
        options,
        body: async (db, command) => {
          const values: readonly unknown[] = await of(db).distinct(key, filter, {
            ...driverOptions(options),
            ...command,
          })
          return bounded([...values], maxDocuments, name, 'distinct') as WithId<T>[typeof key][]
        },
      }),
    aggregate: <R extends Document>(...[pipeline, options]: Parameters<Reads<T>['aggregate']>) => {
      const writes = isWriting(pipeline)
      return send<R[]>(scope, {
        spec: AGGREGATE,
        target: name,
        repeatable: !writes,
        options,
        body: async (db, command) => {
          const stages = writes ? [...pipeline] : [...pipeline, { $limit: maxDocuments + 1 }]
          const cursor = of(db).aggregate<R>(stages, {
            ...driverOptions(options),
            batchSize: FIRST_BATCH,
            ...command,
          })
          return bounded(await collect(cursor), maxDocuments, name, 'aggregate')
        },
      })
    },
  }
}

/** Does it store what it finds? Such a stage is the last one. */
export function isWriting(pipeline: readonly Document[]): boolean {
  const last = pipeline.at(-1)
  return last !== undefined && ('$out' in last || '$merge' in last)
}

/** `most` where the call names none. */
export function limitOf(options: FindManyOptions | undefined, most: number): number {
  const limit = options?.limit
  if (limit === undefined) return most
  if (Number.isSafeInteger(limit) && limit >= 1 && limit <= 2_147_483_647) return limit
  throw invalidArgument('limit', 'a whole number from 1 on', limit)
}

async function collect<R>(cursor: AbstractCursor<R>): Promise<R[]> {
  const documents: R[] = []
  for (;;) {
    const document = await cursor.next()
    if (document === null) return documents
    documents.push(document)
    for (const more of cursor.readBufferedDocuments()) documents.push(more)
  }
}

function bounded<R>(documents: R[], most: number, name: string, what: string): R[] {
  if (documents.length <= most) return documents
  throw new SluiceError('SLUICE_TOO_LARGE', `${what} of ${name} gives more than ${most} documents`, {
    hint: 'Give a limit, read them with stream or aggregateStream, or raise MONGO_MAX_DOCUMENTS.',
    details: { maxDocuments: most },
  })
}
