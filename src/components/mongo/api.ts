/** What services are handed for a `mongo()` component. Filters, updates, documents and their types are the driver's. */
import type {
  AnyBulkWriteOperation,
  BulkWriteOptions,
  BulkWriteResult,
  ChangeStreamDocument,
  ChangeStreamOptions,
  CreateIndexesOptions,
  DeleteOptions,
  DeleteResult,
  Document,
  Filter,
  FindOneAndUpdateOptions,
  FindOptions,
  IndexSpecification,
  InsertManyResult,
  InsertOneResult,
  OptionalUnlessRequiredId,
  ReplaceOptions,
  ResumeToken,
  Sort,
  TransactionOptions as DriverTransactionOptions,
  UpdateFilter,
  UpdateOptions,
  UpdateResult,
  WithId,
  WithoutId,
} from 'mongodb'
import type { ComponentBase } from '../../app/component.ts'
import type { AsyncResult } from '../../core/async-result.ts'
import type { BatchResult } from '../../core/batch-result.ts'
import type { Duration } from '../../core/duration.ts'
import type { StandardSchema } from '../../core/standard-schema.ts'
import type { CallOptions } from '../../telemetry/operate.ts'

type Shared = 'collation' | 'comment' | 'hint' | 'let' | 'readConcern' | 'readPreference'
type Written = 'bypassDocumentValidation' | 'comment' | 'writeConcern'

export interface FindOneOptions
  extends
    CallOptions,
    Pick<FindOptions, Shared | 'allowDiskUse' | 'max' | 'min' | 'projection' | 'skip' | 'sort'> {}

export interface FindManyOptions extends FindOneOptions {
  /** Documents at most. @default `maxDocuments`, and then more are an error */
  readonly limit?: number
}

export interface AggregateOptions extends CallOptions, Pick<FindOptions, Shared | 'allowDiskUse'> {}

export interface StreamOptions {
  /** Documents that are asked for at a time, and held; the server ends a batch at 16 MB. @default the component's */
  readonly batchSize?: number
  /** A stream of which nothing is taken for so long is closed. @default the component's */
  readonly idleTimeout?: Duration
}

export interface WriteOptions extends CallOptions {
  /** The call may be sent again when it is not known whether it took effect. @default false */
  readonly idempotent?: boolean
}

export interface InsertOptions extends WriteOptions, Pick<BulkWriteOptions, Written> {}
export interface BatchOptions extends InsertOptions {
  /** One after the other, up to the first that fails; otherwise all that can be done is. @default false */
  readonly ordered?: boolean
}
export interface UpdateManyOptions
  extends
    WriteOptions,
    Pick<UpdateOptions, Written | 'arrayFilters' | 'collation' | 'hint' | 'let' | 'upsert'> {}
export interface UpdateOneOptions extends UpdateManyOptions {
  /** Which one, where several fit the filter; MongoDB 8.0 or later. */
  readonly sort?: Sort
}
export interface ReplaceOneOptions
  extends WriteOptions, Pick<ReplaceOptions, Written | 'collation' | 'hint' | 'let' | 'sort' | 'upsert'> {}
export interface RemoveOptions
  extends WriteOptions, Pick<DeleteOptions, 'collation' | 'comment' | 'hint' | 'let' | 'writeConcern'> {}
export interface FindAndChangeOptions
  extends
    WriteOptions,
    Pick<
      FindOneAndUpdateOptions,
      | Written
      | 'arrayFilters'
      | 'collation'
      | 'hint'
      | 'let'
      | 'projection'
      | 'returnDocument'
      | 'sort'
      | 'upsert'
    > {}

/** One write of a batch; `collection` says where. The rest is what the driver's bulkWrite takes. */
export type BatchWrite<T extends Document = Document> = {
  readonly collection: string
} & AnyBulkWriteOperation<T>

/** What the server says of one part of a batch: of updates and deletions, only that they were done. */
export interface BatchAnswer {
  readonly insertedId?: unknown
  readonly upsertedId?: unknown
}

/** Where a change stream keeps how far it came. Both may be called again with the same token. */
export interface ResumeStore {
  /** Undefined where nothing was saved. */
  load(): PromiseLike<ResumeToken>
  save(token: ResumeToken): PromiseLike<void> | void
}

export interface WatchOptions
  extends
    Pick<CallOptions, 'signal'>,
    Pick<
      ChangeStreamOptions,
      'collation' | 'comment' | 'fullDocument' | 'fullDocumentBeforeChange' | 'showExpandedEvents'
    > {
  /** Go on behind this token, the `_id` of a change. @default from now on */
  readonly resumeAfter?: ResumeToken
  /** Keeps the token of what was worked through; what it loads wins over `resumeAfter`. */
  readonly store?: ResumeStore
  /** How often the token is saved at most; it is saved at the end in any case. @default '1s' */
  readonly saveInterval?: Duration
  /** After an invalidate (the collection was dropped or renamed): end, or watch on. The change is given either way. @default 'end' */
  readonly onInvalidate?: 'end' | 'restart'
  /** Stages that choose or change what is given. @default none */
  readonly pipeline?: readonly Document[]
}

export interface ChangeFeed<Change> extends AsyncIterableIterator<Change, undefined>, AsyncDisposable {
  /** Behind what was handed out last. */
  readonly resumeToken: ResumeToken
  /** How often it was opened again after it was lost. */
  readonly resumed: number
  /** Resolves when the server watches: what changes from then on is given. */
  readonly ready: Promise<void>
  close(): Promise<void>
}

export interface CollectionOptions<T> {
  /** What is inserted and what replaces must fit; updates are the server's to check. @default anything fits */
  readonly schema?: StandardSchema<unknown, T>
}

/** What works inside of a transaction as well. */
export interface TransactionCollection<T extends Document = Document> {
  readonly name: string
  insertOne(document: OptionalUnlessRequiredId<T>, options?: InsertOptions): AsyncResult<InsertOneResult<T>>
  /** All, or up to the first that fails. Rejects with `details.failed`, the indexes, and `details.insertedCount`. */
  insertMany(
    documents: readonly OptionalUnlessRequiredId<T>[],
    options?: InsertOptions,
  ): AsyncResult<InsertManyResult<T>>
  findOne(filter?: Filter<T>, options?: FindOneOptions): AsyncResult<WithId<T> | null>
  /** Rejects with SLUICE_TOO_LARGE where there are more than `maxDocuments`; `limit` and `stream` are for those. */
  find(filter?: Filter<T>, options?: FindManyOptions): AsyncResult<WithId<T>[]>
  updateOne(
    filter: Filter<T>,
    update: UpdateFilter<T> | Document[],
    options?: UpdateOneOptions,
  ): AsyncResult<UpdateResult<T>>
  updateMany(
    filter: Filter<T>,
    update: UpdateFilter<T> | Document[],
    options?: UpdateManyOptions,
  ): AsyncResult<UpdateResult<T>>
  /** `updateOne` that inserts where nothing fits the filter. */
  upsertOne(
    filter: Filter<T>,
    update: UpdateFilter<T> | Document[],
    options?: UpdateOneOptions,
  ): AsyncResult<UpdateResult<T>>
  replaceOne(
    filter: Filter<T>,
    document: WithoutId<T>,
    options?: ReplaceOneOptions,
  ): AsyncResult<UpdateResult<T>>
  deleteOne(filter: Filter<T>, options?: RemoveOptions): AsyncResult<DeleteResult>
  deleteMany(filter: Filter<T>, options?: RemoveOptions): AsyncResult<DeleteResult>
  /** The document as it was before, or after with `returnDocument: 'after'`; null where nothing fits. */
  findOneAndUpdate(
    filter: Filter<T>,
    update: UpdateFilter<T> | Document[],
    options?: FindAndChangeOptions,
  ): AsyncResult<WithId<T> | null>
  findOneAndDelete(filter: Filter<T>, options?: FindAndChangeOptions): AsyncResult<WithId<T> | null>
  count(filter?: Filter<T>, options?: FindManyOptions): AsyncResult<number>
  distinct<K extends keyof WithId<T> & string>(
    key: K,
    filter?: Filter<T>,
    options?: AggregateOptions,
  ): AsyncResult<WithId<T>[K][]>
  /** As `find`: bounded. A pipeline that ends in $out or $merge gives nothing, and is not repeated. */
  aggregate<R extends Document = Document>(
    pipeline: readonly Document[],
    options?: AggregateOptions,
  ): AsyncResult<R[]>
  /** In as few requests as may be. Rejects as `insertMany` does. */
  bulkWrite(writes: readonly AnyBulkWriteOperation<T>[], options?: BatchOptions): AsyncResult<BulkWriteResult>
}

export interface MongoCollection<T extends Document = Document> extends TransactionCollection<T> {
  /** Many at once, with a result for each. What the driver or sluice numbered is not stored twice by a repetition. */
  insertBatch(
    documents: readonly OptionalUnlessRequiredId<T>[],
    options?: InsertOptions,
  ): BatchResult<BatchAnswer>
  /** Documents as they are taken, one batch in memory. Closed by `break`, at an abort, and when nobody takes any. */
  stream(
    filter?: Filter<T>,
    options?: FindManyOptions & StreamOptions,
  ): AsyncGenerator<WithId<T>, void, undefined>
  aggregateStream<R extends Document = Document>(
    pipeline: readonly Document[],
    options?: AggregateOptions & StreamOptions,
  ): AsyncGenerator<R, void, undefined>
  /** By the collection's own count: fast, and wrong for a while after a crash. */
  estimatedCount(options?: CallOptions): AsyncResult<number>
  watch(options?: WatchOptions): ChangeFeed<ChangeStreamDocument<T>>
  /** Resolves with the name. One that is there already, with the same options, is no error. */
  createIndex(
    keys: IndexSpecification,
    options?: CallOptions & Omit<CreateIndexesOptions, 'session' | 'signal' | 'timeoutMS'>,
  ): AsyncResult<string>
  drop(options?: CallOptions): AsyncResult<void>
}

export interface TransactionOptions
  extends
    Pick<CallOptions, 'label' | 'signal' | 'timeout'>,
    Pick<DriverTransactionOptions, 'readConcern' | 'readPreference' | 'writeConcern'> {
  /** How often the whole is run again after a conflict or a lost primary, 0 to 20. @default 5 */
  readonly retries?: number
}

export interface Transaction {
  /** 1 for the first run of the function. */
  readonly attempt: number
  /** Its calls are sent one after the other: MongoDB runs one at a time in a transaction. */
  collection<T extends Document = Document>(
    name: string,
    options?: CollectionOptions<T>,
  ): TransactionCollection<T>
}

export interface MongoDatabase {
  collection<T extends Document = Document>(name: string, options?: CollectionOptions<T>): MongoCollection<T>
  /** Writes to several collections, one request for each collection at least: a result for each, at its index. */
  batch(writes: readonly BatchWrite[], options?: BatchOptions): BatchResult<BatchAnswer>
  /**
   * Runs `fn` in a transaction, which needs a replica set. It runs again from the beginning after a conflict, so its
   * effects elsewhere must bear that. Rejects with SLUICE_OUTCOME_UNKNOWN when nobody knows whether it was committed.
   */
  transaction<R>(fn: (tx: Transaction) => PromiseLike<R>, options?: TransactionOptions): AsyncResult<R>
  /** Changes of all collections. */
  watch(options?: WatchOptions): ChangeFeed<ChangeStreamDocument>
  /** Keeps tokens of change streams in a collection. @default collection 'sluice_resume_tokens' */
  resumeStore(name: string, options?: { readonly collection?: string }): ResumeStore
  /** Any command, such as `{ dbStats: 1 }`. Sent again only with `idempotent`. */
  command(command: Document, options?: WriteOptions): AsyncResult<Document>
  /** Names. */
  collections(options?: CallOptions): AsyncResult<string[]>
}

export interface AddedDatabase {
  /** Where its servers are. @default those of the component */
  readonly url?: string
  /** @default that of the URL, else the name */
  readonly database?: string
}

export interface Mongo extends ComponentBase, MongoDatabase {
  /** One of `multi_config` or added. Throws SLUICE_INVALID_ARGUMENT where there is none of that name. */
  database(name: string): MongoDatabase
  databases(): readonly string[]
  /** Adds one while the app runs. It connects when it is used. */
  addDatabase(name: string, options?: AddedDatabase): MongoDatabase
  /** Takes it off; its calls reject with SLUICE_CLOSED. The data stays where it is. */
  removeDatabase(name: string): AsyncResult<void>
}
