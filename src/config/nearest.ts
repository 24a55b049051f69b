/** "Did you mean": the known name that is nearest to what was written. */

/**
 * The nearest of `names` by Damerau-Levenshtein distance (optimal string alignment: insert, delete, replace, swap of
 * neighbours), or undefined when none is near enough: two fifths of the longer name's letters, at most 3.
 * Case and the difference between `_` and `-` cost nothing.
 */
export function nearest(word: string, names: Iterable<string>): string | undefined {
  let best: string | undefined
  let bestDistance = Infinity
  const plain = simplify(word)
  for (const name of names) {
    const limit = Math.min(3, Math.floor(Math.max(plain.length, name.length) * 0.4))
    const distance = editDistance(plain, simplify(name), Math.min(limit, bestDistance))
    if (distance <= limit && distance < bestDistance) {
      best = name
      bestDistance = distance
    }
  }
  return best
}

/** Longer words are no typing mistakes, and the table grows with the product of both lengths. */
const MAX_LENGTH = 100

/** Damerau-Levenshtein distance (optimal string alignment), or Infinity where it is over `limit`. */
export function editDistance(a: string, b: string, limit = Infinity): number {
  if (a === b) return 0
  if (a.length > MAX_LENGTH || b.length > MAX_LENGTH || Math.abs(a.length - b.length) > limit) return Infinity
  let before: number[] = []
  let above = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const replace = (above[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      let cost = Math.min((above[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, replace)
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      if (swapped) cost = Math.min(cost, (before[j - 2] ?? 0) + 1)
      row.push(cost)
    }
    if (Math.min(...row) > limit) return Infinity
    before = above
    above = row
  }
  const distance = above[b.length] ?? Infinity
  return distance > limit ? Infinity : distance
}

function simplify(name: string): string {
  return name.toLowerCase().replaceAll('-', '_')
}
