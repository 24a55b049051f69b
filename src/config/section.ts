/**
 * A section of the configuration: its fields, their environment names, units, defaults and documentation, as data.
 *
 * Fields parse with a few lines of their own instead of a schema library: importing zod takes 35 ms here, a third of a
 * bare Fastify process's whole start. Sections of the user's own may use any Standard Schema.
 *
 * A field's key is written in camelCase in code (`maxOpenConns`) and in snake_case in YAML (`max_open_conns`).
 */

/** One thing that is wrong below a value: `at` is the path from the value on, in YAML's spelling. */
export interface Fault {
  readonly at: string
  readonly expected: string
  /** What was found, already safe to print. */
  readonly got?: string
}

/**
 * What a parser says: the value, with what is odd about it and no fault, or what was expected instead. `faults` says it
 * of each part of a nested value.
 */
export type Parsed<T> =
  | { readonly ok: true; readonly value: T; readonly warnings?: readonly string[] }
  | { readonly ok: false; readonly expected: string; readonly faults?: readonly Fault[] }

/** Where a raw value was written. In code a bare number of a duration counts milliseconds, as everywhere in code. */
export type Origin = 'code' | 'text'

export type Secrecy = 'public' | 'url' | 'secret'

export interface Field<T> {
  /** From a string of the environment, a value of YAML, or a value given in code. Never throws. @default origin 'text' */
  readonly parse: (raw: unknown, origin?: Origin) => Parsed<T>
  /** Value when no source sets it; undefined means that the field is optional. */
  readonly defaultValue: T
  /** Names in the environment, the preferred one first. */
  readonly env: readonly string[]
  /** 'secret' is never shown; 'url' is shown without its credentials. */
  readonly secrecy: Secrecy
  /** One line, for `sluice config` and the reference. */
  readonly doc: string
  /** The default in words, where it depends on the machine. */
  readonly defaultText?: string
  /** What it takes, in words: `integer, 1 to 65535`. */
  readonly type: string
  /** The value as people write it (`5s`, `64mb`), with secrets taken out. */
  show(value: T): string
  /** The fields of each entry, where the value is a mapping. */
  readonly nested?: Fields
}

export type Fields = Readonly<Record<string, Field<unknown>>>

export interface SectionFault {
  /** Key of the field that is wrong. */
  readonly field: string
  readonly expected: string
}

export type Given<F extends Fields> = (field: keyof F & string) => boolean

export interface Section<F extends Fields = Fields> {
  /** Key in sluice.yaml and in code, such as `postgres`. */
  readonly name: string
  readonly fields: F
  /**
   * Contradictions between fields. Called only when each field by itself is right. `given` says what a source set: where
   * a default would contradict a value that was set, the value counts.
   */
  check?(values: SectionValues<F>, given?: Given<F>): readonly SectionFault[]
}

export type SectionValues<F extends Fields> = {
  readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never
}

/** Freezes a section. A section is written once, at module level, so a wrong one is a defect and throws at import. */
export function defineSection<const F extends Fields>(section: Section<F>): Section<F> {
  const seen = new Set<string>()
  for (const [key, field] of Object.entries(section.fields)) {
    if (!/^[a-z][a-zA-Z0-9]*$/.test(key)) throw new TypeError(`${section.name}.${key}: a key is camelCase`)
    for (const name of field.env) {
      if (seen.has(name)) throw new TypeError(`${section.name}.${key}: ${name} belongs to another field`)
      seen.add(name)
    }
  }
  Object.freeze(section.fields)
  return Object.freeze(section)
}

/** `maxOpenConns` as YAML spells it: `max_open_conns`. */
export function yamlKey(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}
