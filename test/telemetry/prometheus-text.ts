/** Reads Prometheus text 0.0.4 strictly, so that what is exposed can be checked without promtool. */

export interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}
export interface ParsedFamily {
  readonly help: string
  readonly type: string
  readonly samples: Sample[]
}

/** Throws on anything that the format does not allow: order, names, escapes, duplicates, buckets that shrink. */
export function parsePrometheus(text: string): Map<string, ParsedFamily> {
  const families = new Map<string, ParsedFamily>()
  if (text !== '' && !text.endsWith('\n')) throw new Error('the last line has no line feed')
  const lines = text.split('\n').slice(0, -1)
  let name = ''
  let help = ''
  const seen = new Set<string>()
  for (const [index, line] of lines.entries()) {
    const fail = (problem: string): never => {
      throw new Error(`line ${index + 1}: ${problem}: ${line}`)
    }
    const comment = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*)$/.exec(line)
    if (comment?.[1] === 'HELP') {
      name = comment[2]!
      if (families.has(name)) fail('a family comes twice')
      help = comment[3]!.replaceAll(/\\(.)/gs, (_, c: string) =>
        c === 'n' ? '\n' : c === '\\' ? '\\' : fail('a bad escape in help'),
      )
      continue
    }
    if (comment !== null) {
      if (comment[2] !== name) fail('TYPE of another family than HELP')
      if (!['counter', 'gauge', 'histogram'].includes(comment[3]!)) fail('an unknown type')
      families.set(name, { help, type: comment[3]!, samples: [] })
      continue
    }
    const sample = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(.*)\})? (\S+)$/s.exec(line) ?? fail('not a sample')
    const family = families.get(name) ?? fail('a sample before its TYPE')
    const suffix = family.type === 'histogram' ? '(_bucket|_sum|_count)' : ''
    if (!new RegExp(`^${name}${suffix}$`).test(sample[1]!)) fail('a sample of another family')
    const labels = parseLabels(sample[3] ?? '', fail)
    const key = `${sample[1]} ${JSON.stringify(labels)}`
    if (seen.has(key)) fail('the same sample twice')
    seen.add(key)
    const value = sample[4] === '+Inf' ? Infinity : sample[4] === '-Inf' ? -Infinity : Number(sample[4])
    if (Number.isNaN(value)) fail('not a number')
    family.samples.push({ name: sample[1]!, labels, value })
  }
  for (const [familyName, family] of families)
    if (family.type === 'histogram') checkBuckets(familyName, family)
  return families
}

function parseLabels(text: string, fail: (problem: string) => never): Record<string, string> {
  const labels: Record<string, string> = {}
  const pair = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)/y
  while (pair.lastIndex < text.length) {
    const match = pair.exec(text) ?? fail('bad labels')
    if (match[1]! in labels) fail('a label twice')
    labels[match[1]!] = match[2]!.replaceAll(/\\(.)/gs, (_, c: string) => (c === 'n' ? '\n' : c))
  }
  return labels
}

function checkBuckets(name: string, family: ParsedFamily): void {
  const last = new Map<string, { readonly le: number; readonly value: number }>()
  for (const sample of family.samples) {
    if (!sample.name.endsWith('_bucket')) continue
    const { le, ...rest } = sample.labels
    const key = JSON.stringify(rest)
    const limit = le === '+Inf' ? Infinity : Number(le)
    const before = last.get(key)
    if (before !== undefined && (limit <= before.le || sample.value < before.value)) {
      throw new Error(`${name}: buckets do not ascend at le=${le}`)
    }
    last.set(key, { le: limit, value: sample.value })
  }
  for (const [key, { le }] of last) if (le !== Infinity) throw new Error(`${name}${key}: no bucket for +Inf`)
}
