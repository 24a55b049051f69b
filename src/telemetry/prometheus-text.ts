/** The pieces of Prometheus text 0.0.4, and which names it allows. */
import { SluiceError } from '../core/errors.ts'
import type { Labels } from './metric.ts'

/** The lines before the samples of a name. */
export function header(name: string, help: string, type: string): string {
  return `# HELP ${name} ${help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}\n# TYPE ${name} ${type}\n`
}

/** `{a="1",b="2"}` in the order of the names, so that equal sets of labels are equal strings; '' for none. */
export function renderLabels(metric: string, labels: Labels): string {
  const names = Object.keys(labels)
  if (names.length === 0) return ''
  const pairs = names.sort().map((label) => {
    if (!LABEL.test(label))
      throw invalidMetric(metric, `the label name ${JSON.stringify(label)} is not allowed`)
    return `${label}="${escapeLabel(String(labels[label]))}"`
  })
  return `{${pairs.join(',')}}`
}

function escapeLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}

export function formatNumber(value: number): string {
  if (value === Infinity) return '+Inf'
  if (value === -Infinity) return '-Inf'
  return String(value)
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/
const LABEL = /^(?!__|le$|quantile$)[a-zA-Z_][a-zA-Z0-9_]*$/

export type MetricKind = 'counter' | 'gauge' | 'histogram' | 'observed'

/** Throws SLUICE_INVALID_ARGUMENT for a name that Prometheus or its conventions refuse. */
export function checkName(name: string, kind: MetricKind): void {
  if (!NAME.test(name)) throw invalidMetric(name, 'a name consists of letters, digits, _ and :')
  if (kind === 'counter' && !name.endsWith('_total')) {
    throw invalidMetric(name, 'the name of a counter ends with _total')
  }
  if ((kind === 'gauge' || kind === 'histogram') && name.endsWith('_total')) {
    throw invalidMetric(name, `the name of a ${kind} does not end with _total`)
  }
}

export function invalidMetric(metric: string, problem: string): SluiceError {
  return new SluiceError('SLUICE_INVALID_ARGUMENT', `metric ${JSON.stringify(metric)}: ${problem}`)
}
