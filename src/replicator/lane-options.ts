/** Lanes as they are given in code, and the three that there are without. */
import { durationMs, type Duration } from '../core/duration.ts'
import { invalidArgument } from '../core/errors.ts'
import type { EntityData, LaneSpec } from './contract.ts'
import type { ReplicatorConfig } from './section.ts'

/** One type of entity. */
export interface LaneOptions {
  /** `entity_type` of its messages and part of its keys in the store; lower-case letters, digits, `-` and `_`. */
  readonly name: string
  /** `entity_type` of its bulk messages. @default the name with an `s` */
  readonly plural?: string
  /** Other names under which an entity is found, as `name:value`. @default those of `replicator.lookup_field` */
  readonly lookups?: (data: EntityData) => readonly string[]
  /** An entity is forgotten after this long without a change; 0 for never. @default `replicator.entity_ttl` */
  readonly ttl?: Duration
  /** Changes held at most before the source is paused. @default `…_CHANNEL_SIZE`, 1000 for lanes of your own */
  readonly channelSize?: number
}

const DEFAULT_LANES: readonly LaneOptions[] = [
  { name: 'company', plural: 'companies' },
  { name: 'user', plural: 'users' },
  { name: 'flag', plural: 'flags' },
]
const DEFAULT_CHANNEL_SIZE = 1_000

export interface ResolvedLanes {
  readonly specs: readonly LaneSpec[]
  /** Changes held at most, by lane. */
  readonly maxChanges: Readonly<Record<string, number>>
}

/** Throws SLUICE_INVALID_ARGUMENT. */
export function resolveLanes(
  lanes: readonly LaneOptions[] = DEFAULT_LANES,
  config: ReplicatorConfig,
): ResolvedLanes {
  if (lanes.length === 0) throw invalidArgument('lanes', 'at least one lane', lanes)
  const taken = new Set<string>()
  const maxChanges: Record<string, number> = {}
  const sizes: Readonly<Record<string, number>> = {
    company: config.companyChannelSize,
    user: config.userChannelSize,
    flag: config.flagsChannelSize,
  }
  const { lookupField } = config
  const specs = lanes.map(({ name, plural = `${name}s`, lookups, ttl, channelSize }, index): LaneSpec => {
    const path = `lanes[${index}]`
    if (!/^[a-z][a-z0-9_-]{0,62}$/.test(name))
      throw invalidArgument(`${path}.name`, 'lower-case letters, digits, "-" and "_", a letter first', name)
    for (const type of [name, plural]) {
      if (taken.has(type)) throw invalidArgument(path, 'names and plurals that no other lane has', type)
      taken.add(type)
    }
    if (channelSize !== undefined && (!Number.isInteger(channelSize) || channelSize < 1))
      throw invalidArgument(`${path}.channelSize`, 'a whole number of at least 1', channelSize)
    maxChanges[name] = channelSize ?? sizes[name] ?? DEFAULT_CHANNEL_SIZE
    return {
      name,
      plural,
      lookups: lookups ?? (lookupField === undefined ? undefined : fieldLookups(lookupField)),
      ttlMs: ttl === undefined ? config.entityTtl : durationMs(ttl, `${path}.ttl`),
    }
  })
  return { specs, maxChanges }
}

/** Lookups of a field that holds them as an object: `{"keys": {"domain": "acme.example"}}` gives `domain:acme.example`. */
export function fieldLookups(field: string): (data: EntityData) => readonly string[] {
  return (data) => {
    const names = data[field]
    if (typeof names !== 'object' || names === null) return []
    return Object.entries(names)
      .filter(([, value]) => typeof value === 'string' || typeof value === 'number')
      .map(([key, value]) => `${key}:${value as string | number}`)
  }
}
