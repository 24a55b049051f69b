/**
 * Documents as they are inserted: checked, and with an `_id` before they are sent.
 *
 * An `_id` that was made here is known to nobody else. So an insert that is sent again, and is told that the `_id` is
 * taken, has found itself: it took effect the first time.
 */
import type { Document } from 'mongodb'
import { invalidArgument } from '../../core/errors.ts'
import { checkData, type StandardSchema } from '../../core/standard-schema.ts'
import type { MongoModule } from './client/peer.ts'

export class Insert {
  readonly #given: unknown
  readonly #name: string
  readonly #schema: StandardSchema | undefined
  #document: Document | undefined
  #made = false

  constructor(given: unknown, name: string, schema: StandardSchema | undefined) {
    this.#given = given
    this.#name = name
    this.#schema = schema
  }

  /** Will the `_id` be made here? Known before it is. */
  get isNumberedHere(): boolean {
    return (
      typeof this.#given === 'object' &&
      this.#given !== null &&
      (this.#given as Document)['_id'] === undefined
    )
  }

  /** True where the `_id` was made here. */
  get isOurs(): boolean {
    return this.#made
  }

  /** The same at each attempt. At once where no schema is asked: promises were a third of the time of a batch. */
  document(module: MongoModule): Document | Promise<Document> {
    if (this.#document !== undefined) return this.#document
    const checked = checkDocument(this.#given, this.#name, this.#schema)
    return checked instanceof Promise
      ? checked.then((late) => this.#number(late, module))
      : this.#number(checked, module)
  }

  #number(checked: Document, module: MongoModule): Document {
    this.#made = checked['_id'] === undefined
    this.#document = this.#made ? { ...checked, _id: new module.ObjectId() } : checked
    return this.#document
  }
}

/** What the schema makes of a document. The `_id` stays, also where the schema does not know of it. */
export function checkDocument(
  given: unknown,
  name: string,
  schema: StandardSchema | undefined,
): Document | Promise<Document> {
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw invalidArgument(`a document of ${name}`, 'an object', typeof given)
  const document = given as Document
  if (schema === undefined) return document
  const withId = (checked: Document): Document =>
    document['_id'] === undefined ? checked : { ...checked, _id: document['_id'] as unknown }
  const checked = checkData(schema, document, `a document of ${name}`) as Document | Promise<Document>
  return checked instanceof Promise ? checked.then(withId) : withId(checked)
}

/** Is it the error of an `_id` that is taken? */
export function isTakenId(error: {
  readonly code?: unknown
  readonly errmsg?: unknown
  readonly message?: unknown
}): boolean {
  const text = typeof error.errmsg === 'string' ? error.errmsg : error.message
  return error.code === 11_000 && typeof text === 'string' && /index: _id_( |$)/.test(text)
}
