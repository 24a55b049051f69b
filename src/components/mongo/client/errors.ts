/**
 * What the driver and the server say, as one of our codes.
 *
 * The server's texts repeat values: the key of a duplicate, the part of a filter that it could not read. So the message
 * holds what stands outside of braces and quotes, and the cause that is kept is a copy with that text.
 */
import type { MongoError, MongoServerError } from 'mongodb'
import { isSluiceError, SluiceError, toError } from '../../../core/errors.ts'
import { readingOf, type Reading } from './readings.ts'

/** What is known of the call that failed. */
export interface Failed {
  readonly component: string
  /** What was done to what: `insertOne of users`. */
  readonly what: string
  /** True where nothing is lost by sending it again. */
  readonly repeatable: boolean
}

export function mongoError(thrown: unknown, failed: Failed): SluiceError {
  if (isSluiceError(thrown)) return thrown
  const error = toError(thrown)
  const { code, retryable = false, hint } = readingOf(error, failed.repeatable)
  return new SluiceError(code, `${failed.component}: ${failed.what}: ${textOf(error, code)}`, {
    component: failed.component,
    cause: harmless(error),
    retryable,
    ...(hint === undefined ? {} : { hint }),
    details: detailsOf(error),
  })
}

/** An error of one part of a bulk write, which the driver hands out as data. */
export function writeError(
  { code, errmsg }: { readonly code: number; readonly errmsg?: string | undefined },
  failed: Failed,
): SluiceError {
  return mongoError(Object.assign(new Error(errmsg ?? ''), { name: 'MongoServerError', code }), failed)
}

/** Labels by which server and driver say what may be repeated; also of an error that was wrapped, as another's cause. */
export function hasLabel(error: unknown, label: string): boolean {
  let each: unknown = error
  for (let depth = 0; depth < 5 && each instanceof Error; depth++) {
    const labels = isSluiceError(each) ? each.details?.['labels'] : (each as Partial<MongoError>).errorLabels
    if (Array.isArray(labels) && labels.includes(label)) return true
    each = each.cause
  }
  return false
}

/** The server's number of an error, through what wraps it. */
export function replyCode(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined
  const code: unknown = isSluiceError(error) ? error.details?.['reply'] : (error as { code?: unknown }).code
  return typeof code === 'number' ? code : undefined
}

function detailsOf(error: Error): Readonly<Record<string, unknown>> {
  const { code, codeName, errorLabels, keyPattern } = error as Partial<MongoServerError>
  const duplicate = code === 11_000 ? duplicateOf(error.message) : undefined
  return {
    ...(typeof code === 'number' && { reply: code }),
    ...(typeof codeName === 'string' && { replyName: codeName }),
    ...(Array.isArray(errorLabels) && errorLabels.length > 0 && { labels: [...errorLabels] }),
    ...duplicate,
    ...(isRecord(keyPattern) && { fields: Object.keys(keyPattern) }),
  }
}

/** `E11000 duplicate key error collection: shop.users index: email_1 dup key: { email: "…" }`. */
function duplicateOf(message: string): { readonly collection?: string; readonly index?: string } {
  const collection = /collection: (\S+)/.exec(message)?.[1]
  const index = /index: (\S+)/.exec(message)?.[1]
  return { ...(collection !== undefined && { collection }), ...(index !== undefined && { index }) }
}

const MAX_TEXT = 300

function textOf(error: Error, code: string): string {
  if (code === 'SLUICE_CONFLICT') {
    const { index } = duplicateOf(error.message)
    if (index !== undefined) return `the index ${index} has that key already`
  }
  const text = error.message
    // A URL may hold a password, and a value may hold anything.
    .replaceAll(/mongodb(?:\+srv)?:\/\/\S+/g, 'mongodb://…')
    .replaceAll(/\{[^]*\}/g, '{…}')
    .replaceAll(/\[[^]*\]/g, '[…]')
    .replaceAll(/"[^"]*"|'[^']*'|`[^`]*`/g, '…')
    .replaceAll(/\s+/g, ' ')
    .slice(0, MAX_TEXT)
  return text.trim() === '' ? error.name : text
}

/** A copy with what is safe to show: name, text, stack. */
function harmless(error: Error): Error {
  const copy = new Error(textOf(error, readingOf(error, true).code))
  copy.name = error.name
  // The first line of a stack repeats the text as it was.
  const frames = error.stack?.indexOf('\n    at ') ?? -1
  copy.stack = `${copy.name}: ${copy.message}${frames < 0 ? '' : error.stack!.slice(frames)}`
  return copy
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

export type { Reading }
