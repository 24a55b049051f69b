/**
 * Writes docs/reference/configuration.md from the sections of the code, and docs/reference/api from its doc comments:
 * `npm run reference`. A test holds the files equal to what this gives.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { format, resolveConfig } from 'prettier'
import { knownComponents } from '../src/cli/known-components.ts'
import { appSection } from '../src/config/app-section.ts'
import { KINDS, timeoutField, workersField } from '../src/config/infrastructure.ts'
import { withEnabled } from '../src/config/gather.ts'
import { yamlKey, type Field, type Fields } from '../src/config/section.ts'
import { API_PAGES, renderApi } from './api/pages.ts'

export const REFERENCE = join(import.meta.dirname, '..', 'docs', 'reference', 'configuration.md')

const INTRODUCTION = `# Configuration: every setting

<!-- Made by scripts/reference.ts from the code; change it there. -->

[The guide](../guides/configuration.md) says how the sources work together. In short: code, then the environment, then
\`sluice.yaml\`, then the default. A key is written in snake_case in YAML and in camelCase in code. A duration is a text
such as \`5s\` or \`1h30m\` everywhere; a bare number in the environment or in YAML counts in the unit that the table names,
and one in code counts milliseconds. A size is a number of bytes or a text such as \`64mb\`.

A component whose name in the app differs from its kind is configured under its own name first: for
\`sessions: redis()\` the key \`sessions.addr\` and the variable \`SESSIONS_REDIS_ADDR\` win over \`redis.addr\` and \`REDIS_ADDR\`.
`

const INFRASTRUCTURE = `## infrastructure

\`<name>\` is the name of a component in the app, or its kind. \`minio\` and \`mongodb\` are other words for \`s3\` and \`mongo\`.
`

const SERVICES = `## services

\`services.<name>: false\` turns a service off. A name that the app does not have is a fault.
`

/** The whole page. */
export async function renderReference(): Promise<string> {
  const components = Object.values(await knownComponents())
  const infrastructure: Record<string, string> = {}
  for (const { kind, workers, connectTimeoutMs } of components) {
    infrastructure[kind] = `${workers}, ${timeoutField(connectTimeoutMs).show(connectTimeoutMs)}`
  }
  const defaults = (part: 0 | 1): string =>
    Object.entries(infrastructure)
      .map(([kind, both]) => `${both.split(', ')[part]} for ${kind}`)
      .join(', ')
  const pages = [
    INTRODUCTION,
    '## app\n',
    table('app', appSection.fields),
    ...components.flatMap(({ section }) => [
      `## ${section.name}\n`,
      table(section.name, withEnabled(section).fields),
    ]),
    INFRASTRUCTURE,
    rows([
      [
        '`infrastructure.<name>.workers`',
        '`INFRASTRUCTURE_<NAME>_WORKERS`',
        workersField(1).type,
        defaults(0),
        workersField(1).doc,
      ],
      [
        '`infrastructure.timeouts.<name>`',
        '`INFRASTRUCTURE_TIMEOUTS_<NAME>`',
        timeoutField(1).type,
        defaults(1),
        timeoutField(1).doc,
      ],
    ]),
    SERVICES,
    `## Others\n\n\`SLUICE_CONFIG\` is the path of the file; without it, \`./sluice.yaml\` is read where it exists. Sections for kinds that the\napp has no component of (${KINDS.map((kind) => `\`${kind}\``).join(', ')}) are passed over with a warning, so that several apps may share a file.\n`,
  ]
  const options = await resolveConfig(REFERENCE)
  return format(pages.join('\n'), { ...options, parser: 'markdown' })
}

function table(path: string, fields: Fields): string {
  return rows(rowsOf(path, fields))
}

function rowsOf(path: string, fields: Fields): readonly (readonly string[])[] {
  return Object.entries(fields).flatMap(([key, field]) => {
    const own = `${path}.${yamlKey(key)}`
    const row = [
      code(own),
      field.env.map(code).join(', ') || '-',
      field.type,
      defaultOf(field),
      sentence(field.doc),
    ]
    return field.nested === undefined ? [row] : [row, ...rowsOf(`${own}.<name>`, field.nested)]
  })
}

function rows(cells: readonly (readonly string[])[]): string {
  const head = ['YAML', 'Environment', 'Takes', 'Default', 'What it does']
  const lines = [head, head.map(() => '---'), ...cells].map((row) => `| ${row.map(escape).join(' | ')} |`)
  return `${lines.join('\n')}\n`
}

function defaultOf(field: Field<unknown>): string {
  if (field.defaultText !== undefined) return field.defaultText
  const shown = field.show(field.defaultValue)
  return shown === '' ? '-' : code(shown)
}

function code(text: string): string {
  return `\`${text}\``
}

function sentence(text: string): string {
  return /[.:]$/.test(text) ? text : `${text}.`
}

function escape(cell: string): string {
  return cell.replaceAll('|', '\\|')
}

if (import.meta.main) {
  await writeFile(REFERENCE, await renderReference())
  await mkdir(API_PAGES, { recursive: true })
  for (const [file, text] of await renderApi()) await writeFile(join(API_PAGES, file), text)
}
