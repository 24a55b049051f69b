/** Turns a composed YAML document into plain values with lines, within the limits that yaml-tree.ts states. */
import type * as Yaml from 'yaml'
import type { Refusal } from './yaml-scan.ts'

export interface YamlNode {
  /** Counted from 1. */
  readonly line: number
  /** Scalars, arrays and objects without prototype. */
  readonly value: unknown
  /** Nodes of a mapping by key, of a list by index. */
  readonly children: ReadonlyMap<string, YamlNode>
}

export interface ConvertOptions {
  readonly yaml: typeof Yaml
  readonly document: Yaml.Document.Parsed
  readonly lines: Yaml.LineCounter
  readonly maxDepth: number
  /** Values at most, those that an alias stands for counted each time. */
  readonly maxNodes: number
}

const MAX_REFUSALS = 20
const FORBIDDEN_KEYS: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype'])
const NO_CHILDREN: ReadonlyMap<string, YamlNode> = new Map()

interface Place {
  readonly line: number
  readonly column: number
}

export class Converter {
  readonly #options: ConvertOptions
  readonly #refusals: Refusal[] = []
  /** Looking for an anchor walks the document, and an alias inside an alias is met many times. */
  readonly #targets = new Map<Yaml.Alias, unknown>()
  #nodes = 0

  constructor(options: ConvertOptions) {
    this.#options = options
  }

  /** What may not be, in the order in which it was met. */
  get refusals(): readonly Refusal[] {
    return this.#refusals
  }

  /** The whole document; null where it is empty. Look at `refusals` before using it. */
  convert(): YamlNode {
    return this.#node(this.#options.document.contents, 0, { line: 1, column: 1 })
  }

  #node(node: unknown, depth: number, around: Place): YamlNode {
    const { yaml, maxDepth, maxNodes } = this.#options
    const place = this.#placeOf(node, around)
    this.#nodes += 1
    if (this.#nodes > maxNodes) return this.#tooMany(place)
    if (depth > maxDepth) return this.#refuse(place, `at most ${maxDepth} levels`)
    if (yaml.isAlias(node)) return this.#alias(node, depth, place)
    if (yaml.isScalar(node)) return leaf(place, node.value)
    if (yaml.isSeq(node)) return this.#list(node, depth, place)
    return yaml.isMap(node) ? this.#mapping(node, depth, place) : leaf(place, null)
  }

  #alias(alias: Yaml.Alias, depth: number, place: Place): YamlNode {
    if (!this.#targets.has(alias)) this.#targets.set(alias, alias.resolve(this.#options.document))
    const target = this.#targets.get(alias)
    if (target === undefined) return this.#refuse(place, 'an alias (*name) of an anchor (&name) above it')
    return { ...this.#node(target, depth + 1, place), line: place.line }
  }

  #list(list: Yaml.YAMLSeq, depth: number, place: Place): YamlNode {
    const items = list.items.map((item) => this.#node(item, depth + 1, place))
    const children = new Map(items.map((item, index) => [String(index), item]))
    return { line: place.line, value: items.map((item) => item.value), children }
  }

  #mapping(mapping: Yaml.YAMLMap, depth: number, place: Place): YamlNode {
    // No prototype, so that no key means more than it says.
    const value = Object.create(null) as Record<string, unknown>
    const children = new Map<string, YamlNode>()
    for (const { key: keyNode, value: valueNode } of mapping.items) {
      const keyPlace = this.#placeOf(keyNode, place)
      const key = this.#options.yaml.isScalar(keyNode) ? String(keyNode.value) : ''
      if (key === '<<') this.#refuse(keyPlace, 'no merge key (<<); write the settings out')
      else if (FORBIDDEN_KEYS.has(key)) this.#refuse(keyPlace, `another name than ${key}`)
      else {
        const child = { ...this.#node(valueNode, depth + 1, keyPlace), line: keyPlace.line }
        value[key] = child.value
        children.set(key, child)
      }
    }
    return { line: place.line, value, children }
  }

  #placeOf(node: unknown, around: Place): Place {
    const offset = this.#options.yaml.isNode(node) ? node.range?.[0] : undefined
    if (offset === undefined) return around
    const { line, col } = this.#options.lines.linePos(offset)
    return { line, column: col }
  }

  /** Said once, however many there are. */
  #tooMany(place: Place): YamlNode {
    const { maxNodes } = this.#options
    if (this.#nodes > maxNodes + 1) return leaf(place, null)
    return this.#refuse(place, `at most ${maxNodes} values, aliases followed`)
  }

  #refuse(place: Place, expected: string): YamlNode {
    if (this.#refusals.length < MAX_REFUSALS) this.#refusals.push({ ...place, expected })
    return leaf(place, null)
  }
}

function leaf(place: Place, value: unknown): YamlNode {
  return { line: place.line, value, children: NO_CHILDREN }
}
