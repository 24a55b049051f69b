/**
 * What `index.ts` of each entry of the package exports, as it is declared. Only the syntax is read: names are followed from
 * file to file, types are shown as they were written.
 */
import { dirname, join } from 'node:path'
import {
  SyntaxKind,
  type ClassDeclaration,
  type ExportDeclaration,
  type FunctionDeclaration,
  type ImportDeclaration,
  type InterfaceDeclaration,
  type Node,
  type SourceFile,
  type TypeAliasDeclaration,
  type VariableStatement,
} from 'typescript/unstable/ast'
import { API } from 'typescript/unstable/sync'
import { headerOf, leading, type Comment } from './comments.ts'

const ROOT = join(import.meta.dirname, '..', '..')

export interface Declared {
  readonly name: string
  readonly kind: 'function' | 'class' | 'constant' | 'interface' | 'type'
  readonly comment: Comment
  /** As it was written, without its body: of a function each of its signatures. */
  readonly source: string
  readonly members: readonly Member[]
}

export interface Member {
  readonly name: string
  readonly isMethod: boolean
  readonly isOptional: boolean
  readonly comment: Comment
  /** Of a method the whole signature, of a property its type. */
  readonly source: string
}

export interface Entry {
  /** What is imported, such as `sluice/jobs`. */
  readonly specifier: string
  readonly exports: readonly Declared[]
  /** What the file of its contract says of itself. */
  readonly promises: Comment | undefined
}

/** The entries by specifier, with their files, as package.json names them. */
export function readEntries(files: Readonly<Record<string, string>>): readonly Entry[] {
  const api = new API({ cwd: ROOT })
  try {
    const snapshot = api.updateSnapshot({ openProjects: [join(ROOT, 'tsconfig.build.json')] })
    const [project] = snapshot.getProjects()
    const fileAt = (path: string): SourceFile => {
      const file = project?.program.getSourceFile(path)
      if (file === undefined) throw new Error(`${path} is not part of the project`)
      return file
    }
    return Object.entries(files).map(([specifier, path]) => readEntry(specifier, join(ROOT, path), fileAt))
  } finally {
    api.close()
  }
}

function readEntry(specifier: string, path: string, fileAt: (path: string) => SourceFile): Entry {
  const index = fileAt(path)
  const exports: Declared[] = []
  let promises: Comment | undefined
  for (const statement of index.statements) {
    if (statement.kind !== SyntaxKind.ExportDeclaration) {
      exports.push(...declaredBy(statement, index))
      continue
    }
    const { moduleSpecifier, exportClause } = statement as ExportDeclaration
    if (exportClause?.kind !== SyntaxKind.NamedExports || moduleSpecifier === undefined) continue
    const from = join(dirname(path), textOf(moduleSpecifier))
    if (from === join(dirname(path), 'api.ts')) promises = headerOf(fileAt(from).text)
    for (const { propertyName, name } of exportClause.elements) {
      const found = find(textOf(propertyName ?? name), from, fileAt)
      if (found === undefined) throw new Error(`${specifier}: ${textOf(name)} is not declared in ${from}`)
      exports.push({ ...found, name: textOf(name) })
    }
  }
  return { specifier, exports, promises }
}

/** The declaration of a name that a file exports, or hands on. */
function find(name: string, path: string, fileAt: (path: string) => SourceFile): Declared | undefined {
  const file = fileAt(path)
  for (const statement of file.statements) {
    const found = declaredBy(statement, file).find((each) => each.name === name)
    if (found !== undefined) return merged(found, file)
    if (statement.kind !== SyntaxKind.ExportDeclaration) continue
    const { moduleSpecifier, exportClause } = statement as ExportDeclaration
    if (exportClause === undefined && moduleSpecifier !== undefined) {
      const among = find(name, join(dirname(path), textOf(moduleSpecifier)), fileAt)
      if (among !== undefined) return among
    }
    if (exportClause?.kind !== SyntaxKind.NamedExports) continue
    const handedOn = exportClause.elements.find((each) => textOf(each.name) === name)
    if (handedOn === undefined) continue
    const own = textOf(handedOn.propertyName ?? handedOn.name)
    const from = moduleSpecifier ?? importOf(own, file)
    if (from !== undefined) return find(own, join(dirname(path), textOf(from)), fileAt)
  }
  return undefined
}

/** Where a name comes from that is imported under it. */
function importOf(name: string, { statements }: SourceFile): Node | undefined {
  for (const statement of statements) {
    if (statement.kind !== SyntaxKind.ImportDeclaration) continue
    const { importClause, moduleSpecifier } = statement as ImportDeclaration
    const bindings = importClause?.namedBindings
    if (bindings?.kind !== SyntaxKind.NamedImports) continue
    if (bindings.elements.some((each) => each.name.text === name)) return moduleSpecifier
  }
  return undefined
}

/** With overloads only these are what callers see, and not the last one, which has the body. */
function merged(found: Declared, file: SourceFile): Declared {
  if (found.kind !== 'function') return found
  const all = file.statements.flatMap((each) =>
    each.kind === SyntaxKind.FunctionDeclaration
      ? declaredBy(each, file)
          .filter(({ name }) => name === found.name)
          .map((declared) => ({ declared, hasBody: (each as FunctionDeclaration).body !== undefined }))
      : [],
  )
  const seen = all.length === 1 ? all : all.filter(({ hasBody }) => !hasBody)
  return { ...found, source: seen.map(({ declared }) => declared.source).join('\n') }
}

function declaredBy(node: Node, file: SourceFile): readonly Declared[] {
  const { start, comment } = leading(file.text, node.pos)
  const until = (end: number): string =>
    file.text
      .slice(start, end)
      .replace(/^export /, '')
      .trim()
  if (node.kind === SyntaxKind.FunctionDeclaration) {
    const { name, body } = node as FunctionDeclaration
    if (name === undefined) return []
    return [{ name: name.text, kind: 'function', comment, source: until(body?.pos ?? node.end), members: [] }]
  }
  if (node.kind === SyntaxKind.InterfaceDeclaration || node.kind === SyntaxKind.ClassDeclaration) {
    const { name, members } = node as InterfaceDeclaration | ClassDeclaration
    if (name === undefined) return []
    const kind = node.kind === SyntaxKind.ClassDeclaration ? 'class' : 'interface'
    const source = until(members.pos).replace(/\{$/, '').trim()
    return [
      { name: name.text, kind, comment, source, members: members.flatMap((each) => memberOf(each, file)) },
    ]
  }
  if (node.kind === SyntaxKind.TypeAliasDeclaration) {
    const { name } = node as TypeAliasDeclaration
    return [{ name: name.text, kind: 'type', comment, source: until(node.end), members: [] }]
  }
  if (node.kind !== SyntaxKind.VariableStatement) return []
  return (node as VariableStatement).declarationList.declarations.map(({ name, type }) => {
    const shown = type === undefined ? '' : `: ${file.text.slice(type.pos, type.end).trim()}`
    const source = `const ${textOf(name)}${shown}`
    return { name: textOf(name), kind: 'constant', comment, source, members: [] }
  })
}

/** Nothing for what is private, and for bodies of overloads. */
function memberOf(node: Node, file: SourceFile): readonly Member[] {
  const { name, questionToken, type, body, modifiers, parameters } = node as unknown as Partial<{
    name: Node
    questionToken: Node
    postfixToken: Node
    type: Node
    body: Node
    modifiers: readonly Node[]
    parameters: readonly Node[]
  }>
  const { start, comment } = leading(file.text, node.pos)
  const isHidden = modifiers?.some(({ kind }) => kind === SyntaxKind.PrivateKeyword) ?? false
  const isConstructor = node.kind === SyntaxKind.Constructor
  if (isHidden || name?.kind === SyntaxKind.PrivateIdentifier || (name === undefined && !isConstructor))
    return []
  const named = isConstructor
    ? 'constructor'
    : file.text.slice(leading(file.text, name!.pos).start, name!.end)
  const mark = (node as unknown as { postfixToken?: Node }).postfixToken ?? questionToken
  const isOptional = mark?.kind === SyntaxKind.QuestionToken
  const isAccessor = node.kind === SyntaxKind.GetAccessor
  const isMethod = parameters !== undefined && !isAccessor
  const signature = file.text
    .slice(start, body?.pos ?? node.end)
    .trim()
    .replace(/[;,]$/, '')
    // It stood one level deeper.
    .replaceAll('\n  ', '\n')
  const source = isMethod
    ? signature
    : type === undefined
      ? ''
      : file.text.slice(leading(file.text, type.pos).start, type.end)
  return [{ name: named, isMethod, isOptional, comment, source }]
}

function textOf(node: Node): string {
  return (node as unknown as { readonly text: string }).text
}
