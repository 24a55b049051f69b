/** Patterns of SCAN and PSUBSCRIBE: `*`, `?`, `[abc]`, `[^a-z]`, and `\` for the next character as it is. */

export function globToRegExp(glob: string): RegExp {
  let source = ''
  for (let at = 0; at < glob.length; at += 1) {
    const char = glob[at] as string
    if (char === '*') {
      // A run of stars is one star: `.*.*.*` would make matching exponential.
      if (!source.endsWith('[^]*')) source += '[^]*'
    } else if (char === '?') source += '[^]'
    else if (char === '[') {
      const end = closing(glob, at)
      source += classOf(glob.slice(at + 1, end))
      at = end
    } else if (char === '\\' && at + 1 < glob.length) {
      at += 1
      source += escape(glob[at] as string)
    } else source += escape(char)
  }
  return new RegExp(`^${source}$`)
}

function closing(glob: string, start: number): number {
  for (let at = start + 1; at < glob.length; at += 1) {
    if (glob[at] === '\\') at += 1
    else if (glob[at] === ']') return at
  }
  return glob.length
}

function classOf(body: string): string {
  const negated = body.startsWith('^')
  const chars = (negated ? body.slice(1) : body).replace(/\\(.)|([\]^])/g, (_all, escaped, bare) =>
    escape(String(escaped ?? bare)),
  )
  if (chars === '') return negated ? '[^]' : '[]'
  return `[${negated ? '^' : ''}${chars}]`
}

const escape = (char: string): string => char.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')
