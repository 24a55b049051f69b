/** The project's own Markdown: which files there are, their code blocks and their links. */
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from './module-graph.ts'

export interface CodeBlock {
  /** Path of the file below the root, and the line of the fence. */
  readonly file: string
  readonly line: number
  /** What follows the fence, such as `ts` or `ts ignore`. */
  readonly info: string
  readonly code: string
}

export interface Link {
  readonly file: string
  readonly line: number
  readonly target: string
}

/** Markdown files of the project, without those of packages. */
export function markdownFiles(): readonly string[] {
  return globSync('**/*.md', {
    cwd: ROOT,
    exclude: (path) => /(^|\/)(node_modules|dist|\.sluice)(\/|$)/.test(path),
  }).sort()
}

export function codeBlocks(file: string): readonly CodeBlock[] {
  const blocks: CodeBlock[] = []
  let open: { line: number; info: string; lines: string[] } | undefined
  for (const [index, line] of readLines(file).entries()) {
    const fence = /^```(.*)$/.exec(line)
    if (fence === null) open?.lines.push(line)
    else if (open === undefined) open = { line: index + 1, info: (fence[1] ?? '').trim(), lines: [] }
    else {
      blocks.push({ file, line: open.line, info: open.info, code: open.lines.join('\n') })
      open = undefined
    }
  }
  return blocks
}

/** Links outside of code blocks. */
export function links(file: string): readonly Link[] {
  const found: Link[] = []
  let isCode = false
  for (const [index, line] of readLines(file).entries()) {
    if (line.startsWith('```')) isCode = !isCode
    if (isCode) continue
    for (const match of line.replace(/`[^`]*`/g, '').matchAll(/\]\(([^)\s]+)\)/g)) {
      found.push({ file, line: index + 1, target: match[1] ?? '' })
    }
  }
  return found
}

/** The anchor that GitHub gives to each heading. */
export function anchors(file: string): ReadonlySet<string> {
  const headings = readLines(file).flatMap((line) => /^#+\s+(.*)$/.exec(line)?.[1] ?? [])
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .trim()
        .replace(/\s/g, '-'),
    ),
  )
}

function readLines(file: string): readonly string[] {
  return readFileSync(join(ROOT, file), 'utf8').split('\n')
}
