/** Batches: a result for each write, and one request for each collection that is written to. */
import type { AnyBulkWriteOperation, BulkWriteResult, Document, MongoBulkWriteError } from 'mongodb'
import { AsyncResult } from '../../core/async-result.ts'
import { BatchResult } from '../../core/batch-result.ts'
import { isSluiceError, toError, type SluiceError } from '../../core/errors.ts'
import type { StandardSchema } from '../../core/standard-schema.ts'
import type { BatchAnswer, BatchOptions, BatchWrite, InsertOptions } from './api.ts'
import { bulkOptions, checkWrites, partsOf } from './bulk.ts'
import { send } from './call.ts'
import { writeError } from './client/errors.ts'
import type { MongoModule } from './client/peer.ts'
import { specPair, type Scope } from './host.ts'
import { Insert, isTakenId } from './inserts.ts'

const BATCH = specPair('batch')
const INSERT_BATCH = specPair('insertBatch')

type Answer = BatchAnswer | SluiceError

/** A write, and the document to insert where it is one. */
interface Part {
  readonly write: AnyBulkWriteOperation
  readonly insert: Insert | undefined
}

export function insertBatch(
  scope: Scope,
  name: string,
  documents: readonly unknown[],
  options: InsertOptions | undefined,
  schema: StandardSchema | undefined,
): BatchResult<BatchAnswer> {
  return whole(documents, () => {
    const parts = documents.map((document) => insertPart(document, name, schema))
    return sendGroup(scope, INSERT_BATCH, name, parts, { ...options, ordered: false })
  })
}

export function batch(
  scope: Scope,
  writes: readonly BatchWrite[],
  options: BatchOptions | undefined,
): BatchResult<BatchAnswer> {
  return whole(writes, () => {
    const groups = new Map<string, { readonly parts: Part[]; readonly indexes: number[] }>()
    writes.forEach(({ collection, ...write }, index) => {
      const group = groups.get(collection) ?? { parts: [], indexes: [] }
      groups.set(collection, group)
      group.parts.push(partOf(write as AnyBulkWriteOperation, collection))
      group.indexes.push(index)
    })
    const [only, ...others] = groups
    if (only !== undefined && others.length === 0)
      return sendGroup(scope, BATCH, only[0], only[1].parts, options)
    const running = [...groups].map(([name, { parts, indexes }]) => ({
      indexes,
      result: sendGroup(scope, BATCH, name, parts, options),
    }))
    return AsyncResult.start(`${scope.host.component}: batch`, async ({ signal }) => {
      signal.addEventListener('abort', () => running.forEach(({ result }) => result.cancel(signal.reason)))
      const answers: Answer[] = Array.from({ length: writes.length })
      await Promise.all(
        running.map(async ({ indexes, result }) => {
          const own = await result.catch((error: unknown) => toError(error))
          indexes.forEach((index, at) => (answers[index] = (own instanceof Error ? own : own[at]) as Answer))
        }),
      )
      return answers
    })
  })
}

function whole(
  list: readonly unknown[],
  start: () => AsyncResult<readonly Answer[]>,
): BatchResult<BatchAnswer> {
  try {
    checkWrites(list)
    return BatchResult.ofWhole(start(), list.length)
  } catch (error) {
    return BatchResult.ofWhole(AsyncResult.reject(error), Array.isArray(list) ? list.length : 0)
  }
}

function sendGroup(
  scope: Scope,
  spec: typeof BATCH,
  name: string,
  parts: readonly Part[],
  options: BatchOptions | undefined,
): AsyncResult<readonly Answer[]> {
  const repeatable =
    options?.idempotent ??
    (options?.ordered !== true && parts.every(({ insert }) => insert?.isNumberedHere === true))
  return send(scope, {
    spec,
    target: name,
    repeatable,
    options,
    body: async (db, command, call) => {
      const module = scope.host.module()
      const begun = parts.map((part) => readyOf(part, module))
      const ready = begun.some((each) => each instanceof Promise)
        ? await Promise.all(begun.map(async (each) => each))
        : (begun as Ready[])
      // What does not fit its schema fails by itself.
      const sent = ready.flatMap((write, index) => (isSluiceError(write) ? [] : [{ write, index }]))
      const refused = ready.flatMap((write) => (isSluiceError(write) ? [write] : []))
      const answers: Answer[] = ready.map((write) => (isSluiceError(write) ? write : {}))
      if (options?.ordered === true && refused[0] !== undefined) throw refused[0]
      if (sent.length === 0) return answers
      const take = ({ insertedIds, upsertedIds }: BulkWriteResult): void => {
        for (const [at, insertedId] of Object.entries(insertedIds))
          answers[sent[Number(at)]!.index] = { insertedId: insertedId as unknown }
        for (const [at, upsertedId] of Object.entries(upsertedIds))
          answers[sent[Number(at)]!.index] = { upsertedId: upsertedId as unknown }
      }
      try {
        take(
          await db.collection(name).bulkWrite(
            sent.map(({ write }) => write),
            { ...bulkOptions(options), ...command },
          ),
        )
      } catch (error) {
        const failed = partsOf(error)
        if (failed === undefined) throw error
        take((error as MongoBulkWriteError).result)
        const failedAt = new Set<number>()
        for (const each of failed) {
          const { index } = sent[each.index]!
          failedAt.add(each.index)
          const { insert } = parts[index]!
          answers[index] =
            call.attempt > 1 && insert?.isOurs === true && isTakenId(each)
              ? { insertedId: (await insert.document(module))['_id'] as unknown }
              : writeError(each, {
                  component: scope.host.component,
                  what: `${spec.once.name} of ${name}`,
                  repeatable: false,
                })
        }
        if (options?.ordered === true) {
          const last = Math.max(...failedAt)
          const because = answers[sent[last]!.index]
          for (const { index } of sent.slice(last + 1)) answers[index] = because as SluiceError
        }
      }
      return answers
    },
  })
}

type Ready = AnyBulkWriteOperation | SluiceError

function readyOf({ write, insert }: Part, module: MongoModule): Ready | Promise<Ready> {
  if (insert === undefined) return write
  const ofDocument = (document: Document): Ready => ({ insertOne: { document } })
  const ofError = (error: unknown): Ready => {
    if (isSluiceError(error)) return error
    throw error
  }
  try {
    const document = insert.document(module)
    return document instanceof Promise ? document.then(ofDocument, ofError) : ofDocument(document)
  } catch (error) {
    return ofError(error)
  }
}

function partOf(write: AnyBulkWriteOperation, name: string): Part {
  return 'insertOne' in write
    ? insertPart(write.insertOne.document, name, undefined)
    : { write, insert: undefined }
}

function insertPart(document: unknown, name: string, schema: StandardSchema | undefined): Part {
  const insert = new Insert(document, name, schema)
  return { write: { insertOne: { document: document as Document } }, insert }
}
