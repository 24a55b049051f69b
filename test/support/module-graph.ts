/** Who imports whom in src/, read from the import lines. */
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'

export interface Import {
  /** Path below src/ for a module of ours, else the specifier as written. */
  readonly target: string
  readonly isOurs: boolean
  /** 'type': erased when compiled. 'dynamic': `import()`, loaded when reached. */
  readonly kind: 'value' | 'type' | 'dynamic'
}

export type ModuleGraph = ReadonlyMap<string, readonly Import[]>

export const ROOT = join(import.meta.dirname, '../..')
const SRC = join(ROOT, 'src')

// Import lines begin at the start of a line, which keeps examples in comments out.
const STATIC = /^(import|export)(\s+type\b(?!\s*,))?[^'"`;=]*?\bfrom\s+['"]([^'"]+)['"]/gm
const BARE = /^import\s+['"]([^'"]+)['"]/gm
const DYNAMIC = /\bimport\(\s*['"]([^'"]+)['"]/g

export function readModuleGraph(): ModuleGraph {
  const graph = new Map<string, readonly Import[]>()
  for (const file of globSync('**/*.ts', { cwd: SRC }).sort()) graph.set(file, importsOf(file))
  return graph
}

function importsOf(file: string): readonly Import[] {
  const source = readFileSync(join(SRC, file), 'utf8')
  // What is in a comment is not imported; line comments are enough for `import()` in prose.
  const code = source.replace(/^\s*(\/\/|\*|\/\*\*).*$/gm, '')
  const found: Import[] = []
  const add = (specifier: string, kind: Import['kind']): void => {
    const isOurs = specifier.startsWith('.')
    const target = isOurs ? relative(SRC, resolve(SRC, dirname(file), specifier)) : specifier
    found.push({ target, isOurs, kind })
  }
  for (const match of code.matchAll(STATIC)) add(match[3] ?? '', match[2] === undefined ? 'value' : 'type')
  for (const match of code.matchAll(BARE)) add(match[1] ?? '', 'value')
  for (const match of code.matchAll(DYNAMIC)) add(match[1] ?? '', 'dynamic')
  return found
}

/** The package of a specifier: `@scope/name` of `@scope/name/path`. */
export function packageOf(specifier: string): string {
  const [first = '', second = ''] = specifier.split('/')
  return first.startsWith('@') ? `${first}/${second}` : first
}

/** Everything that is loaded at once with a module: its value imports and theirs. */
export function loadedWith(graph: ModuleGraph, entry: string): ReadonlyMap<string, readonly string[]> {
  // Each with the way that leads to it, so that a failure says whom to blame.
  const ways = new Map<string, readonly string[]>([[entry, [entry]]])
  for (const [module, way] of ways) {
    for (const { target, kind } of graph.get(module) ?? []) {
      if (kind === 'value' && !ways.has(target)) ways.set(target, [...way, target])
    }
  }
  return ways
}

/** A cycle of imports, or undefined. Types count: two files that need each other are one. */
export function findCycle(graph: ModuleGraph): readonly string[] | undefined {
  const done = new Set<string>()
  const visit = (module: string, way: readonly string[]): readonly string[] | undefined => {
    const at = way.indexOf(module)
    if (at !== -1) return [...way.slice(at), module]
    if (done.has(module)) return undefined
    for (const { target, isOurs, kind } of graph.get(module) ?? []) {
      const cycle = isOurs && kind !== 'dynamic' ? visit(target, [...way, module]) : undefined
      if (cycle !== undefined) return cycle
    }
    done.add(module)
    return undefined
  }
  for (const module of graph.keys()) {
    const cycle = visit(module, [])
    if (cycle !== undefined) return cycle
  }
  return undefined
}
