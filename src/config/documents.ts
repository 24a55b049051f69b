/** What was written in code and in the file, seen as layers of one mapping each. */
import { readVariable, type Environment } from './environment.ts'
import { isMapping } from './nested.ts'
import { findFile, type FoundFile } from './yaml-file.ts'
import type { YamlNode } from './yaml-convert.ts'
import type { Problem } from './problem.ts'
import type { Layer } from './resolve.ts'

export interface Documents {
  /** The whole of each source, code first. */
  readonly roots: readonly Layer[]
  /** The mappings under the first of `names`, then under the next: the more particular first. */
  below(...names: readonly string[]): readonly Layer[]
  /** The mapping under a key of a layer. */
  inner(layer: Layer, key: string): Layer | undefined
  readonly file: string | undefined
  readonly problems: readonly Problem[]
}

export interface DocumentOptions {
  readonly overrides: Readonly<Record<string, unknown>>
  readonly env: Environment
  /** false for none. */
  readonly file: string | false | undefined
  readonly cwd: string
}

/** Reads the file, where there is one. Never rejects: what is wrong with it is in `problems`. */
export async function readDocuments(options: DocumentOptions): Promise<Documents> {
  const nodes = new WeakMap<Layer, YamlNode>()
  const code = codeLayer('', options.overrides)
  const found = options.file === false ? undefined : await findFile(fileName(options), options.cwd)
  const parsed = found === undefined || 'expected' in found ? undefined : await parse(found)
  const file = found === undefined || 'expected' in found ? undefined : found.name
  const root = parsed !== undefined && 'children' in parsed ? parsed : undefined
  const roots = root === undefined ? [code] : [code, fileLayer('', root)]

  function fileLayer(path: string, node: YamlNode): Layer {
    const source = (key: string): string => `${file}:${node.children.get(key)?.line ?? node.line}`
    const layer: Layer = { origin: 'text', path, values: isMapping(node.value) ? node.value : {}, source }
    nodes.set(layer, node)
    return layer
  }

  function inner(layer: Layer, key: string): Layer | undefined {
    const path = layer.path === '' ? key : `${layer.path}.${key}`
    const node = nodes.get(layer)
    if (node !== undefined) {
      const child = node.children.get(key)
      return child !== undefined && isMapping(child.value) ? fileLayer(path, child) : undefined
    }
    const value = Object.hasOwn(layer.values, key) ? layer.values[key] : undefined
    return isMapping(value) ? codeLayer(path, value) : undefined
  }

  return {
    roots,
    inner,
    below: (...names) =>
      [...new Set(names)].flatMap((name) =>
        roots.map((each) => inner(each, name)).filter((each) => each !== undefined),
      ),
    file,
    problems:
      found !== undefined && 'expected' in found
        ? [found]
        : parsed !== undefined && !('children' in parsed)
          ? parsed
          : [],
  }
}

/** A mapping that was written in code. */
export function codeLayer(path: string, values: Readonly<Record<string, unknown>>): Layer {
  return { origin: 'code', path, values, source: () => 'code' }
}

/** What reads YAML is loaded only when there is something to read: an app without a file starts without it. */
async function parse(found: FoundFile): Promise<YamlNode | readonly Problem[]> {
  const { parseYaml } = await import('./yaml-tree.ts')
  return parseYaml(found.text, found.name)
}

function fileName(options: DocumentOptions): { readonly path: string; readonly by: string } | undefined {
  if (typeof options.file === 'string') return { path: options.file, by: 'file' }
  const named = readVariable(options.env, 'SLUICE_CONFIG')
  return named === undefined ? undefined : { path: named, by: 'env SLUICE_CONFIG' }
}
