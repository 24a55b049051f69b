/**
 * Looks over the tokens of a YAML text before it is composed. Composing costs time that grows with the square of keys
 * in a mapping and stack that grows with depth; counting tokens costs neither.
 */
import type * as Yaml from 'yaml'

export interface Refusal {
  readonly line: number
  readonly column: number
  readonly expected: string
}

/** A mapping of 1,700 keys has this many; composing that took 50 ms. */
export const MAX_TOKENS = 12_000

/** Aliases in one file; each can stand for a whole tree. */
const MAX_ALIASES = 200

/** Tags of the core schema. All others could only be code or bytes, which no setting is. */
const KNOWN_TAGS: ReadonlySet<string> = new Set([
  '!!str',
  '!!int',
  '!!float',
  '!!bool',
  '!!null',
  '!!map',
  '!!seq',
])

/** The first thing that a configuration may not hold, as a list of at most one. */
export function scanTokens(yaml: typeof Yaml, text: string, maxDepth: number): readonly Refusal[] {
  let tokens = 0
  let aliases = 0
  let flowDepth = 0
  let nestingOnLine = 0
  for (const { type, token, offset } of tokensOf(yaml, text)) {
    const refuse = (expected: string): readonly Refusal[] => [{ ...position(text, offset), expected }]
    tokens += 1
    if (tokens > MAX_TOKENS) return refuse(`fewer values; this file has more than ${MAX_TOKENS} tokens`)
    if (type === 'directive-line') return refuse('no directive (%); the file is YAML 1.2')
    if (type === 'tag' && !KNOWN_TAGS.has(token))
      return refuse('no tag (!) of your own; a setting is plain data')
    if (type === 'alias' && ++aliases > MAX_ALIASES) return refuse(`at most ${MAX_ALIASES} aliases`)
    if (type === 'flow-map-start' || type === 'flow-seq-start') flowDepth += 1
    if (type === 'flow-map-end' || type === 'flow-seq-end') flowDepth -= 1
    if (type === 'newline') nestingOnLine = 0
    if (type === 'seq-item-ind' || type === 'explicit-key-ind') nestingOnLine += 1
    if (flowDepth > maxDepth || nestingOnLine > maxDepth) return refuse(`at most ${maxDepth} levels`)
  }
  return []
}

const CLOSES: Readonly<Record<string, string>> = { '[': ']', '{': '}' }

/**
 * Brackets and quotes that are never closed, where they open: the parser tells of them where it gave up, which may be
 * behind the end. `missing` are the offsets at which it missed a character.
 */
export function findUnclosed(
  yaml: typeof Yaml,
  text: string,
  missing: ReadonlySet<number>,
): readonly Refusal[] {
  const found: number[] = []
  const open: number[] = []
  for (const { type, token, offset } of tokensOf(yaml, text)) {
    if (type === 'flow-map-start' || type === 'flow-seq-start') open.push(offset)
    else if (type === 'flow-error-end') found.push(...open.splice(0))
    else if (type === 'flow-map-end' || type === 'flow-seq-end') {
      const match = open.findLastIndex((each) => CLOSES[text[each] ?? ''] === token)
      if (match !== -1) found.push(...open.splice(match).slice(1))
    } else if (type?.endsWith('-quoted-scalar') === true && missing.has(offset + token.length)) {
      found.push(offset)
    }
  }
  return [...found, ...open]
    .toSorted((a, b) => a - b)
    .map((offset) => {
      const opening = text[offset] ?? ''
      const closing = CLOSES[opening] ?? opening
      return { ...position(text, offset), expected: `a closing ${closing} for the ${opening} at this place` }
    })
}

interface Token {
  readonly type: ReturnType<typeof Yaml.CST.tokenType>
  readonly token: string
  readonly offset: number
}

function* tokensOf(yaml: typeof Yaml, text: string): Generator<Token> {
  let offset = 0
  for (const token of new yaml.Lexer().lex(text)) {
    const type = yaml.CST.tokenType(token)
    yield { type, token, offset }
    // The lexer marks the start of documents and scalars by control characters that the text does not hold.
    const mark = type === 'doc-mode' || type === 'flow-error-end' || token === yaml.CST.SCALAR
    if (!mark) offset += token.length
  }
}

function position(text: string, offset: number): { readonly line: number; readonly column: number } {
  const before = text.slice(0, offset).split('\n')
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 }
}
