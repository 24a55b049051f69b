/**
 * What a run has to show: nothing acknowledged is lost, nothing that was rolled back ran, effects inside the handler's
 * transaction happened once, keys kept their order. Believes the ledger and the client's history, and nothing else.
 */
import { percentiles, type Percentiles } from './percentiles.ts'
import type { Fact, How } from './record.ts'

export interface Evidence {
  readonly facts: readonly Fact[]
  /** Who has to see each one: handlers of jobs, or subscriptions. */
  readonly readers: readonly Reader[]
  /** Rows that handlers wrote in the transaction they were given: one for each effect. */
  readonly rows: readonly { readonly id: string; readonly by: string }[]
  /** Nothing was left to do at the end. */
  readonly drained: boolean
  /** How processes ended of which nobody wanted that. */
  readonly crashes: readonly string[]
}

export interface Reader {
  readonly name: string
  /** Its effect is a row written in the handler's transaction: it must be there exactly once. */
  readonly transactional: boolean
  /** Which it has to see. */
  readonly sees: (how: How) => boolean
}

export interface Verdict {
  readonly attempted: number
  readonly acked: number
  /** Handed in, never answered. */
  readonly unknown: number
  readonly kills: number
  readonly freezes: number
  readonly stops: number
  readonly starts: number
  /** Acknowledged, and a reader never had the effect. */
  readonly lost: readonly string[]
  /** Ran although it was rolled back, or was never handed in. */
  readonly phantoms: readonly string[]
  /** Effects in transactions that are there more than once. */
  readonly duplicateEffects: readonly string[]
  /** Handlers that began more than once: at least once, as promised. */
  readonly repeatedStarts: number
  /** Of one key: began before an earlier one had its effect. */
  readonly inversions: readonly string[]
  /** Processes that ended by themselves, and what they said last. */
  readonly crashes: readonly string[]
  /** From a kill to the next start of what the killed process was running, in milliseconds. */
  readonly recovery: Percentiles
  /** The same for what was frozen. */
  readonly recoveryFrozen: Percentiles
  /** From when a handler was told to end, because its process stops, to its next start. */
  readonly recoveryReleased: Percentiles
  /** Why the run proves nothing. */
  readonly invalid: readonly string[]
}

/** With fewer a run proves nothing. */
export const MIN_ACKED = 100

export function check({ facts, readers, rows, drained, crashes }: Evidence): Verdict {
  const handed = new Map<string, How>()
  const acked = new Set<string>()
  for (const fact of facts) {
    if (fact.f === 'invoke') handed.set(fact.id, fact.how)
    if (fact.f === 'ok') acked.add(fact.id)
  }
  const effects = effectsOf(facts, rows)
  const lost: string[] = []
  for (const id of acked) {
    const how = handed.get(id)
    if (how === undefined || how.kind === 'rolled-back') continue
    for (const reader of readers) {
      if (reader.sees(how) && !effects.has(`${reader.name} ${id}`)) lost.push(`${reader.name} ${id}`)
    }
  }
  const transactional = new Set(readers.filter((reader) => reader.transactional).map(({ name }) => name))
  const duplicateEffects = [...effects].filter(
    ([name, count]) => count > 1 && transactional.has(name.slice(0, name.indexOf(' '))),
  )
  const starts = facts.filter((fact) => fact.f === 'start')
  const kills = facts.filter((fact) => fact.f === 'kill').length
  const freezes = facts.filter((fact) => fact.f === 'freeze').length
  const stops = facts.filter((fact) => fact.f === 'term').length
  const invalid = [
    ...(kills + freezes === 0 ? ['no fault fired'] : []),
    ...(acked.size < MIN_ACKED ? [`only ${acked.size} operations were acknowledged`] : []),
    ...(drained ? [] : ['work was left at the end']),
  ]
  return {
    attempted: handed.size,
    acked: acked.size,
    unknown: [...handed.keys()].filter((id) => !acked.has(id)).length,
    kills,
    freezes,
    stops,
    starts: starts.length,
    lost,
    phantoms: phantomsOf(starts, handed),
    duplicateEffects: duplicateEffects.map(([name]) => name),
    repeatedStarts: starts.length - new Set(starts.map(({ by, id }) => `${by} ${id}`)).size,
    inversions: inversionsOf(facts, handed),
    crashes,
    recovery: percentiles(recoveries(facts, 'kill')),
    recoveryFrozen: percentiles(recoveries(facts, 'freeze')),
    recoveryReleased: percentiles(recoveries(facts, 'released')),
    invalid,
  }
}

/** Is there anything that must not be? */
export function failed(verdict: Verdict): boolean {
  const { lost, phantoms, duplicateEffects, inversions, crashes, invalid } = verdict
  return [lost, phantoms, duplicateEffects, inversions, crashes, invalid].some((list) => list.length > 0)
}

function effectsOf(
  facts: readonly Fact[],
  rows: readonly { readonly id: string; readonly by: string }[],
): Map<string, number> {
  const effects = new Map<string, number>()
  const add = (by: string, id: string): void => {
    effects.set(`${by} ${id}`, (effects.get(`${by} ${id}`) ?? 0) + 1)
  }
  for (const fact of facts) if (fact.f === 'effect') add(fact.by, fact.id)
  for (const { by, id } of rows) add(by, id)
  return effects
}

function phantomsOf(
  starts: readonly { readonly id: string }[],
  handed: ReadonlyMap<string, How>,
): readonly string[] {
  const phantoms = starts.filter(({ id }) => (handed.get(id)?.kind ?? 'rolled-back') === 'rolled-back')
  return [...new Set(phantoms.map(({ id }) => id))]
}

/** In the order of the ledger, whose lines are appended by all processes. */
function inversionsOf(facts: readonly Fact[], handed: ReadonlyMap<string, How>): readonly string[] {
  const inversions: string[] = []
  /** By reader and key: the highest seq whose effect happened. */
  const through = new Map<string, Set<number>>()
  const open = new Map<string, number[]>()
  for (const how of handed.values()) {
    if (how.kind === 'keyed') open.set(how.key, [...(open.get(how.key) ?? []), how.seq])
  }
  const acked = new Set(facts.flatMap((fact) => (fact.f === 'ok' ? [fact.id] : [])))
  for (const fact of facts) {
    if (fact.f !== 'start' && fact.f !== 'effect') continue
    const how = handed.get(fact.id)
    if (how?.kind !== 'keyed') continue
    const place = `${fact.by} ${how.key}`
    const done = through.get(place) ?? new Set<number>()
    through.set(place, done)
    if (fact.f === 'effect') done.add(how.seq)
    // Of those that were never acknowledged nobody knows whether they are there.
    else if (how.seq > 0 && !done.has(how.seq - 1) && acked.has(idBefore(fact.id, how.seq))) {
      inversions.push(`${fact.by} ${fact.id}`)
    }
  }
  return inversions
}

/** Ids of a key end in its number. */
function idBefore(id: string, seq: number): string {
  return `${id.slice(0, id.length - String(seq).length)}${seq - 1}`
}

/** For each fault: what the process had begun and not ended, and how long until it began again anywhere. */
function recoveries(facts: readonly Fact[], kind: 'kill' | 'freeze' | 'released'): readonly number[] {
  const running = new Map<number, Map<string, true>>()
  const waiting = new Map<string, number>()
  const found: number[] = []
  for (const fact of facts) {
    if (fact.f === 'start') {
      const name = `${fact.by} ${fact.id}`
      const since = waiting.get(name)
      if (since !== undefined) {
        found.push(fact.t - since)
        waiting.delete(name)
      }
      const own = running.get(fact.pid) ?? new Map<string, true>()
      running.set(fact.pid, own.set(name, true))
    } else if (fact.f === 'released') {
      running.get(fact.pid)?.delete(`${fact.by} ${fact.id}`)
      if (kind === 'released') waiting.set(`${fact.by} ${fact.id}`, fact.t)
    } else if (fact.f === 'end') {
      running.get(fact.pid)?.delete(`${fact.by} ${fact.id}`)
      waiting.delete(`${fact.by} ${fact.id}`)
    } else if (fact.f === 'kill' || fact.f === 'freeze') {
      if (fact.f === kind) {
        for (const name of running.get(fact.pid)?.keys() ?? []) waiting.set(name, fact.t)
      }
      running.delete(fact.pid)
    }
  }
  return found
}
