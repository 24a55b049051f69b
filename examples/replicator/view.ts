/** What the replicator does, on a terminal: drawn anew in place, or as plain lines where it is no terminal. */
import type { Replicator, ReplicatorStats } from 'sluice/replicator'

export interface View {
  stop(): void
}

interface Sample {
  readonly stats: ReplicatorStats
  readonly ms: number
}

const TERMINAL_EVERY_MS = 500
const LINES_EVERY_MS = 2_000
const BAR = 16

/** Draws until it is stopped. `head` is shown above, as it is. */
export function showReplicator(
  replicator: Replicator,
  head: string,
  out: NodeJS.WriteStream = process.stdout,
): View {
  const isTerminal = out.isTTY
  let before: Sample = { stats: replicator.stats(), ms: performance.now() }
  let drawn = 0
  const timer = setInterval(
    () => {
      const now: Sample = { stats: replicator.stats(), ms: performance.now() }
      if (!isTerminal) out.write(`${asLine(before, now)}\n`)
      else {
        const lines = [head, ...asTable(before, now)].map((line) => line.slice(0, (out.columns || 80) - 1))
        const up = drawn === 0 ? '' : `\u001b[${drawn}A`
        out.write(`${up}${lines.map((line) => `\u001b[2K${line}\n`).join('')}`)
        drawn = lines.length
      }
      before = now
    },
    isTerminal ? TERMINAL_EVERY_MS : LINES_EVERY_MS,
  )
  return { stop: () => clearInterval(timer) }
}

export function asTable(before: Sample, { stats, ms }: Sample): string[] {
  const seconds = Math.max(0.001, (ms - before.ms) / 1_000)
  const lines = [
    row('lane', 'received/s', 'stored/s', 'conflated', 'skipped', 'dead', 'dropped', 'waiting'),
    ...Object.entries(stats.lanes).map(([name, lane]) => {
      const was = before.stats.lanes[name]
      const rate = (now: number, then: number | undefined): string =>
        String(Math.round((now - (then ?? 0)) / seconds))
      return `${row(
        name,
        rate(lane.received, was?.received),
        rate(lane.applied, was?.applied),
        String(lane.conflated),
        String(lane.skipped + lane.skippedInStore),
        String(lane.dead),
        String(lane.dropped),
        String(lane.pending),
      )} ${bar(lane.pending / lane.limit)}`
    }),
    '',
    `${stats.ready ? 'ready' : `not ready: ${stats.notReady ?? ''}`}${stats.live ? '' : ', disconnected'}   lag ${stats.lagMs} ms   breaker ${stats.breaker}   cursor ${stats.cursor ?? '-'}`,
    `disconnects ${stats.disconnects}   reloads ${stats.reloads}   pauses ${stats.pauses}   ${loadText(stats)}`,
  ]
  return lines
}

export function asLine(before: Sample, { stats, ms }: Sample): string {
  const seconds = Math.max(0.001, (ms - before.ms) / 1_000)
  const total = (
    { lanes }: ReplicatorStats,
    key: 'received' | 'applied' | 'pending' | 'dead' | 'dropped',
  ): number => Object.values(lanes).reduce((sum, lane) => sum + lane[key], 0)
  const rate = (key: 'received' | 'applied'): number =>
    Math.round((total(stats, key) - total(before.stats, key)) / seconds)
  const parts = [
    stats.ready ? 'ready' : `not ready (${stats.notReady ?? ''})`,
    `received ${rate('received')}/s`,
    `stored ${rate('applied')}/s`,
    `waiting ${total(stats, 'pending')}`,
    `lag ${stats.lagMs} ms`,
    `dead ${total(stats, 'dead')}`,
    `dropped ${total(stats, 'dropped')}`,
    `disconnects ${stats.disconnects}`,
    `reloads ${stats.reloads}`,
  ]
  return parts.join(', ')
}

function loadText({ loading }: ReplicatorStats): string {
  if (loading === null) return 'no load under way'
  return `load: ${loading.phase}, ${loading.rows}${loading.total === undefined ? '' : ` of ${loading.total}`} rows`
}

function row(name: string, ...cells: readonly string[]): string {
  return name.padEnd(8) + cells.map((cell) => cell.padStart(11)).join('')
}

function bar(share: number): string {
  const full = Math.min(BAR, Math.ceil(share * BAR))
  return `[${'#'.repeat(full)}${' '.repeat(BAR - full)}]`
}
