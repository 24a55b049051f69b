/** `@name` in a text: of whom it speaks. An address such as ada@example.com mentions nobody. */
const MENTION = /(?<![\w@.])@([a-z][a-z0-9_]{1,29})(?![\w@])/g

/** More than that in one text is somebody who shouts. */
const MOST = 20

/** Each name once, in the order of the text. */
export function mentionsIn(text: string): readonly string[] {
  const names = new Set<string>()
  for (const [, name = ''] of text.matchAll(MENTION)) {
    names.add(name)
    if (names.size === MOST) break
  }
  return [...names]
}
