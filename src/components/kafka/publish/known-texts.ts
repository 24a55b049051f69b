/**
 * Bytes of texts that message after message has in its headers: their names, and values such as the source. Each is made
 * once, and nobody may write into it.
 */
import { ATTRIBUTES, KAFKA_PREFIX } from '../../../core/cloud-events.ts'
import { bytesOf } from './bytes.ts'

/** Headers whose values come again; an id or a time never does. */
const REPEATED = new Set(['specversion', 'source', 'type', 'schemaversion', 'content-type'])
/** Names and values of users may be as many and as long as they like; beyond these each is made for itself. */
const MAX_KNOWN = 1_000
const MAX_CHARACTERS = 200

export class KnownTexts {
  readonly #names = new Map<string, Buffer>()
  readonly #attributes = new Map<string, Buffer>()
  readonly #values = new Map<string, Buffer>()

  constructor() {
    for (const name of ATTRIBUTES) this.#attributes.set(name, this.name(KAFKA_PREFIX + name))
  }

  name(name: string): Buffer {
    return this.#names.get(name) ?? keep(this.#names, name)
  }

  /** The name of the header that an attribute of the envelope has. */
  attribute(name: string): Buffer {
    return this.#attributes.get(name) ?? this.name(KAFKA_PREFIX + name)
  }

  /** Throws SLUICE_INVALID_ARGUMENT. */
  value(name: string, value: string | Uint8Array): Buffer {
    if (typeof value !== 'string') return bytesOf(`header "${name}"`, value)
    if (!REPEATED.has(name)) return Buffer.from(value)
    return this.#values.get(value) ?? keep(this.#values, value)
  }
}

/** Not of the pool that Node.js cuts small buffers from: each would hold all of it. */
function keep(known: Map<string, Buffer>, text: string): Buffer {
  if (known.size >= MAX_KNOWN || text.length > MAX_CHARACTERS) return Buffer.from(text)
  const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(text))
  bytes.write(text)
  known.set(text, bytes)
  return bytes
}
