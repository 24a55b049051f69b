/** Patterns of topics: words joined by dots, `*` for one word, `#` for any number of them, none included. */
import { invalidArgument } from '../core/errors.ts'

const PATTERN = /^([a-zA-Z0-9_-]+|\*|#)(\.([a-zA-Z0-9_-]+|\*|#))*$/
const MAX_LENGTH = 200
const MAX_WORDS = 30

/** Tells whether a topic matches any of the patterns. Throws SLUICE_INVALID_ARGUMENT. */
export function topicMatcher(patterns: readonly string[]): (topic: string) => boolean {
  const compiled = patterns.map(parsePattern)
  return (topic) => {
    const words = topic.split('.')
    return compiled.some((pattern) => matches(pattern, words))
  }
}

/** Does who reads `own` get every event that the others are read for? Told by the text: true only where it is sure. */
export function coversPatterns(own: readonly string[], others: readonly string[]): boolean {
  const all = new Set(own)
  const matches = topicMatcher(own)
  return others.every((each) => all.has(each) || all.has('#') || (!/[*#]/.test(each) && matches(each)))
}

/** What covers all of them, in order, without those that others cover. */
export function joinPatterns(lists: readonly (readonly string[])[]): readonly string[] {
  const all = [...new Set(lists.flat())].toSorted()
  const isCovered = (each: string): boolean => {
    const others = all.filter((other) => other !== each)
    return coversPatterns(others, [each])
  }
  return all.filter((each) => !isCovered(each))
}

export function isPattern(text: string): boolean {
  return PATTERN.test(text) && text.length <= MAX_LENGTH && text.split('.').length <= MAX_WORDS
}

function parsePattern(pattern: string): readonly string[] {
  if (typeof pattern !== 'string' || !PATTERN.test(pattern) || pattern.length > MAX_LENGTH) {
    throw invalidArgument('pattern', 'words joined by dots, * for one word, # for any number', pattern)
  }
  // Two in a row mean what one means.
  const words = pattern.split('.').filter((word, at, all) => word !== '#' || all[at - 1] !== '#')
  if (words.length > MAX_WORDS) throw invalidArgument('pattern', `at most ${MAX_WORDS} words`, pattern)
  return words
}

/**
 * Word by word, keeping the set of places in the pattern that may come next: linear in both, whatever the number of `#`.
 */
function matches(pattern: readonly string[], words: readonly string[]): boolean {
  let places = new Set(skips(pattern, 0))
  for (const word of words) {
    const next = new Set<number>()
    for (const place of places) {
      const expected = pattern[place]
      if (expected === undefined) continue
      if (expected === '#') for (const after of skips(pattern, place)) next.add(after)
      else if (expected === '*' || expected === word)
        for (const after of skips(pattern, place + 1)) next.add(after)
    }
    places = next
  }
  return places.has(pattern.length)
}

/** The place, and the one behind it where it stands at a `#`. */
function skips(pattern: readonly string[], place: number): readonly number[] {
  return pattern[place] === '#' ? [place, place + 1] : [place]
}
