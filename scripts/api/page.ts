/** The page of one entry of the package: what it exports, with signatures, options, defaults and what is said of each. */
import { ERROR_CODES } from '../../src/core/errors.ts'
import type { Comment } from './comments.ts'
import type { Declared, Entry, Member } from './declarations.ts'

const KINDS: readonly (readonly [Declared['kind'], string])[] = [
  ['function', 'Functions'],
  ['class', 'Classes'],
  ['constant', 'Constants'],
  ['interface', 'Interfaces'],
  ['type', 'Types'],
]

/** As Markdown, to be formatted. */
export function renderPage({ specifier, exports, promises }: Entry): string {
  const titles = titlesOf(exports)
  const sections = KINDS.flatMap(([kind, title]) => {
    const all = exports.filter((each) => each.kind === kind)
    return all.length === 0 ? [] : [`## ${title}`, ...all.flatMap((each) => renderOne(each, titles))]
  })
  return [
    `# \`${specifier}\``,
    '<!-- Made by scripts/reference.ts from the doc comments of the code; change them there. -->',
    ...(promises === undefined ? [] : [withCodes(promises.text)]),
    contents(exports, titles),
    ...sections,
    '',
  ].join('\n\n')
}

type Titles = ReadonlyMap<string, string>

/** Headings by name. `job` and `Job` would have one anchor. */
function titlesOf(exports: readonly Declared[]): Titles {
  const taken = new Set<string>()
  return new Map(
    KINDS.flatMap(([kind]) => exports.filter((each) => each.kind === kind)).map(({ name, kind }) => {
      const title = taken.has(anchor(name)) ? `${name} (${kind})` : name
      taken.add(anchor(title))
      return [name, title]
    }),
  )
}

function linkTo(name: string, shown: string, titles: Titles): string {
  return `[${shown}](#${anchor(titles.get(name) ?? name)})`
}

function contents(exports: readonly Declared[], titles: Titles): string {
  return KINDS.flatMap(([kind, title]) => {
    const all = exports.filter((each) => each.kind === kind)
    const links = all.map(({ name }) => linkTo(name, `\`${name}\``, titles))
    return all.length === 0 ? [] : [`- ${title}: ${links.join(', ')}`]
  }).join('\n')
}

function renderOne(declared: Declared, titles: Titles): readonly string[] {
  const { name, kind, comment, source, members } = declared
  const isWhole = kind !== 'interface' && kind !== 'class'
  const properties = members.filter(({ isMethod }) => !isMethod)
  const methods = members.filter(({ isMethod }) => isMethod)
  const written = [source, ...members.map((each) => each.source)].join('\n')
  return [
    `### ${titles.get(name) ?? name}`,
    said(comment),
    ...(isWhole || /[<(]| extends /.test(source) ? [code(source)] : []),
    ...(properties.length === 0 ? [] : [table(properties)]),
    ...methodsOf(methods),
    seeAlso(name, written, titles),
  ].filter((part) => part !== '')
}

/** Overloads of one name stand together, below what is said of the first that says something. */
function methodsOf(methods: readonly Member[]): readonly string[] {
  const names = [...new Set(methods.map(({ name }) => name))]
  return names.flatMap((name) => {
    const all = methods.filter((each) => each.name === name)
    const comments = all.map(({ comment }) => said(comment)).filter((text) => text !== '')
    return [`**\`${name}\`**`, code(all.map(({ source }) => source).join('\n')), ...comments]
  })
}

function table(properties: readonly Member[]): string {
  const rows = properties.map(({ name, isOptional, source, comment }) => [
    code1(name),
    code1(source.replace(/ \| undefined$/, '')),
    isOptional ? defaultOf(comment) : 'required',
    oneLine(withCodes(comment.text)),
  ])
  const hasOptional = properties.some(({ isOptional }) => isOptional)
  const head = hasOptional ? ['name', 'type', 'default', ''] : ['name', 'type', '']
  const shown = hasOptional ? rows : rows.map(([name, type, , what]) => [name, type, what])
  const lines = [head, head.map(() => '---'), ...shown]
  return lines
    .map((cells) => `| ${cells.map((cell) => (cell ?? '').replaceAll('|', '\\|')).join(' | ')} |`)
    .join('\n')
}

function defaultOf({ byDefault }: Comment): string {
  return byDefault === undefined || byDefault === 'undefined' ? '-' : withCodes(byDefault)
}

function said({ text, byDefault }: Comment): string {
  const more = byDefault === undefined ? '' : `\n\nDefault: ${byDefault}`
  return withCodes(text + more)
}

function seeAlso(own: string, source: string, titles: Titles): string {
  const words = new Set(source.match(/\b[A-Za-z]\w*\b/g) ?? [])
  const named = [...titles.keys()].filter((name) => name !== own && /^[A-Z]/.test(name) && words.has(name))
  return named.length === 0 ? '' : `See ${named.map((name) => linkTo(name, name, titles)).join(', ')}.`
}

/** Codes of errors lead to what is said of them; not those in code. */
function withCodes(text: string): string {
  return text
    .split(/(`[^`]*`)/)
    .map((part) =>
      part.startsWith('`')
        ? part
        : part.replaceAll(/\bSLUICE_[A-Z_]+\b/g, (name) =>
            name in ERROR_CODES ? `[${name}](../../errors.md#${anchor(name)})` : name,
          ),
    )
    .join('')
}

function code(source: string): string {
  return `\`\`\`ts ignore\n${source}\n\`\`\``
}

function code1(text: string): string {
  const short = text.replaceAll(/\s+/g, ' ').trim()
  return short === '' ? '' : `\`${short}\``
}

function oneLine(text: string): string {
  return text.replaceAll(/\s*\n\s*/g, ' ')
}

function anchor(title: string): string {
  return title.toLowerCase().replaceAll(/[()]/g, '').replaceAll(' ', '-')
}
