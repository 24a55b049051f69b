/** The pages of docs/reference/api, one for each entry of the package. */
import { readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { readEntries, type Entry } from './declarations.ts'
import { renderPage } from './page.ts'

const ROOT = join(import.meta.dirname, '..', '..')
export const API_PAGES = join(ROOT, 'docs', 'reference', 'api')

const INTRODUCTION = `# Reference of the calls

<!-- Made by scripts/reference.ts; change it there. -->

What each entry of the package exports: every function with its signatures and errors, every option with its type, unit,
default and limits, and what is promised. All of it is in the editor as well, at the names themselves. A \`Duration\` is a
number of milliseconds or a text such as \`'5s'\`; an \`AsyncResult\` is a promise with a few calls more, and rejects with a
[\`SluiceError\`](../../errors.md).
`

/** Texts by file name. */
export async function renderApi(): Promise<ReadonlyMap<string, string>> {
  const entries = readEntries(await filesOfEntries())
  const pages = new Map(entries.map((entry) => [fileOf(entry), renderPage(entry)]))
  const links = entries.map(
    (entry) => `| [\`${entry.specifier}\`](${fileOf(entry)}) | ${names(entry).join(', ')} |`,
  )
  pages.set(
    'index.md',
    [INTRODUCTION, '| import | functions and classes |', '|---|---|', ...links, ''].join('\n'),
  )
  return pages
}

async function filesOfEntries(): Promise<Readonly<Record<string, string>>> {
  const text = await readFile(join(ROOT, 'package.json'), 'utf8')
  const { exports } = JSON.parse(text) as { exports: Record<string, string | Record<string, string>> }
  return Object.fromEntries(
    Object.entries(exports).flatMap(([path, target]) =>
      typeof target === 'string' ? [] : [[join('sluice', path), target['sluice-source'] ?? '']],
    ),
  )
}

function names({ exports }: Entry): readonly string[] {
  return exports
    .filter(({ kind }) => kind === 'function' || kind === 'class')
    .map(({ name }) => `\`${name}\``)
}

function fileOf({ specifier }: Entry): string {
  return `${basename(specifier)}.md`
}
