/** Doc comments as they stand in the source: their text as Markdown, and what their tags say. */

export interface Comment {
  /** Paragraphs and lists, as they were written. */
  readonly text: string
  readonly byDefault: string | undefined
}

const NOTHING: Comment = { text: '', byDefault: undefined }
const SPACE_OR_COMMENT = /\s+|\/\/[^\n]*|\/\*[^]*?\*\//y

/** Where what stands between `from` and the first word ends, and the last doc comment in there. */
export function leading(source: string, from: number): { readonly start: number; readonly comment: Comment } {
  let start = from
  let comment = NOTHING
  for (;;) {
    SPACE_OR_COMMENT.lastIndex = start
    const [found] = SPACE_OR_COMMENT.exec(source) ?? []
    if (found === undefined) return { start, comment }
    if (found.startsWith('/**')) comment = parseComment(found)
    start += found.length
  }
}

/** What a file says of itself before anything else. */
export function headerOf(source: string): Comment {
  const [found] = /^\/\*\*[^]*?\*\//.exec(source) ?? []
  return found === undefined ? NOTHING : parseComment(found)
}

function parseComment(comment: string): Comment {
  const lines = comment
    .slice(3, -2)
    .split('\n')
    .map((line) => line.replace(/^\s*\* ?/, '').trimEnd())
  const text = lines.join('\n').trim()
  const [, said = '', byDefault] = /^([^]*?)(?:@default ([^]*?))?$/.exec(text) ?? []
  // Parameters are named where their names do not say it all.
  const withParameters = said.replaceAll(/^@param (\S+) /gm, '\n- `$1`: ')
  return { text: withParameters.trim(), byDefault: byDefault?.replaceAll(/\s+/g, ' ').trim() }
}
