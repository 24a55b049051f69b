/** The report of rolling restarts: a line for each thing that has to be zero, and what it was measured on. */
import type { RollingReport } from './run.ts'

const MIN_ORDERS = 100
const SHOWN = 10

export function rollingFailed(report: RollingReport): boolean {
  return (
    faultsOf(report).some(([, found]) => found.length > 0) ||
    report.slotsTwice > 0 ||
    !provesSomething(report)
  )
}

export function formatRollingReport(report: RollingReport): string {
  const lines: (readonly [string, string])[] = [
    ['rounds', String(report.restarts)],
    ['seconds', String(report.seconds)],
    ['orders taken', String(report.orders)],
    ...faultsOf(report).map(([name, found]) => [name, String(found.length)] as const),
    ['seconds written down', String(report.slots)],
    ['seconds written down twice', String(report.slotsTwice)],
  ]
  const width = Math.max(...lines.map(([name]) => name.length)) + 2
  const details = faultsOf(report).flatMap(([name, found]) =>
    found.slice(0, SHOWN).map((text) => `  ${name}: ${text}`),
  )
  const tooFew = provesSomething(report) ? [] : [`fewer than ${MIN_ORDERS} orders: that proves nothing`]
  return [
    'chaos: rolling',
    ...lines.map(([name, value]) => `  ${name.padEnd(width)}${value}`),
    ...details,
    ...tooFew,
  ].join('\n')
}

function provesSomething({ orders, slots }: RollingReport): boolean {
  return orders >= MIN_ORDERS && slots > 0
}

function faultsOf(report: RollingReport): readonly (readonly [string, readonly string[]])[] {
  return [
    ['requests failed', report.failed],
    ['orders lost', report.lost],
    ['orders done twice', report.doubles],
    ['orders nobody gave', report.phantoms],
    ['order of a customer broken', report.inversions],
    ['processes that ended badly', report.badExits],
  ]
}
