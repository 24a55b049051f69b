/** Runs in a worker thread: finds todos that are probably the same thing written twice. Quadratic on purpose. */

export interface Report {
  readonly todos: number
  /** Pairs of titles with their likeness from 0 to 1, the most alike first. */
  readonly lookAlikes: readonly { readonly a: string; readonly b: string; readonly likeness: number }[]
}

const ENOUGH = 0.6

export function run(titles: readonly string[]): Report {
  const pairs = titles.map((title) => letterPairs(title))
  const found: { a: string; b: string; likeness: number }[] = []
  for (const [i, a] of titles.entries()) {
    for (let j = i + 1; j < titles.length; j++) {
      const likeness = dice(pairs[i] ?? [], pairs[j] ?? [])
      if (likeness >= ENOUGH)
        found.push({ a, b: titles[j] ?? '', likeness: Math.round(likeness * 100) / 100 })
    }
  }
  found.sort((x, y) => y.likeness - x.likeness)
  return { todos: titles.length, lookAlikes: found.slice(0, 20) }
}

/** Sørensen-Dice coefficient of two sorted lists of letter pairs. */
function dice(a: readonly string[], b: readonly string[]): number {
  let shared = 0
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    const x = a[i] ?? ''
    const y = b[j] ?? ''
    if (x === y) shared++
    if (x <= y) i++
    if (y <= x) j++
  }
  return a.length + b.length === 0 ? 0 : (2 * shared) / (a.length + b.length)
}

function letterPairs(title: string): readonly string[] {
  const text = title.toLowerCase().replaceAll(/\s+/g, ' ')
  return Array.from({ length: Math.max(0, text.length - 1) }, (_, i) => text.slice(i, i + 2)).sort()
}
