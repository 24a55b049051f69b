/**
 * YAML 1.2 (core schema) as a tree of plain values, each with its line. What a configuration never needs, and an
 * attacker or an accident brings, is refused: more than MAX_TOKENS tokens, deeper than MAX_DEPTH, tags of one's own,
 * directives (`%YAML 1.1` would turn `no` into false), merge keys, several documents, the keys that reach prototypes,
 * aliases that multiply. Duplicate keys are faults.
 *
 * Messages never quote the source: it may be a password.
 */
import { Converter, type YamlNode } from './yaml-convert.ts'
import { findUnclosed, scanTokens, type Refusal } from './yaml-scan.ts'
import type { Problem } from './problem.ts'

/** Levels of nesting. The deepest setting that sluice has lies at 5. */
export const MAX_DEPTH = 32
/** Nodes after aliases were followed: bounds a bomb of aliases. */
export const MAX_NODES = 10_000

/** Errors of one file that are told; one mistake often makes many. */
const MAX_ERRORS = 20

/** What each code of the parser means; its own messages quote the source. */
const MEANINGS: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: 'spaces for indentation, not a tab',
  DUPLICATE_KEY: 'each key once in a mapping',
  BAD_INDENT: 'the same indentation as the lines around it',
  MISSING_CHAR: 'a closing quote, bracket or a separator (: or ,) before this place',
  MULTIPLE_DOCS: 'one document (no second ---)',
  BAD_ALIAS: 'an alias (*name) of an anchor (&name) above it',
  NON_STRING_KEY: 'a text as key',
  BAD_DQ_ESCAPE: 'a valid escape sequence in double quotes',
  BAD_SCALAR_START: 'quotes around a text that begins with @ or `',
  BLOCK_AS_IMPLICIT_KEY: 'one key on a line; quote a text that holds ": "',
  MULTILINE_IMPLICIT_KEY: 'a key on one line, followed by ":"',
  UNEXPECTED_TOKEN: 'no stray text or bracket here',
  RESOURCE_EXHAUSTION: `at most ${MAX_DEPTH} levels`,
}

/** The tree, or what is wrong with the text; an empty file gives an empty mapping. */
export async function parseYaml(text: string, file: string): Promise<YamlNode | readonly Problem[]> {
  // Imported only when there is a file: it takes 14 ms.
  const yaml = await import('yaml')
  const refused = (refusals: readonly Refusal[]): readonly Problem[] =>
    refusals.map(({ line, column, expected }) => ({
      path: '',
      source: `${file}:${line}:${column}`,
      expected,
    }))
  const scanned = scanTokens(yaml, text, MAX_DEPTH)
  if (scanned.length > 0) return refused(scanned)
  const lines = new yaml.LineCounter()
  const document = yaml.parseDocument(text, {
    version: '1.2',
    schema: 'core',
    merge: false,
    strict: true,
    stringKeys: true,
    uniqueKeys: true,
    prettyErrors: false,
    // 'silent' would also keep it from telling of a second document.
    logLevel: 'error',
    lineCounter: lines,
  })
  const errors = [...document.errors, ...document.warnings]
  if (errors.length > 0) {
    const missing = new Set(errors.filter(({ code }) => code === 'MISSING_CHAR').map(({ pos }) => pos[0]))
    const [unclosed] = findUnclosed(yaml, text, missing)
    const told = errors.map(({ code, pos }): Refusal => {
      const { line, col } = lines.linePos(pos[0])
      return { line, column: col, expected: meaning(code) }
    })
    // All that comes after an open bracket is misread because of it.
    const before = told.filter((each) => unclosed === undefined || isBefore(each, unclosed))
    return refused([...before, ...(unclosed === undefined ? [] : [unclosed])].slice(0, MAX_ERRORS))
  }
  const converter = new Converter({ yaml, document, lines, maxDepth: MAX_DEPTH, maxNodes: MAX_NODES })
  const root = converter.convert()
  if (converter.refusals.length > 0) return refused(converter.refusals)
  if (root.value === null) return { ...root, value: Object.create(null) as object }
  if (Array.isArray(root.value) || typeof root.value !== 'object') {
    return refused([{ line: 1, column: 1, expected: 'a mapping such as "redis:" at the top' }])
  }
  return root
}

function isBefore(a: Refusal, b: Refusal): boolean {
  return a.line < b.line || (a.line === b.line && a.column < b.column)
}

function meaning(code: string): string {
  return MEANINGS[code] ?? `valid YAML (${code.toLowerCase().replaceAll('_', ' ')})`
}
