/** What a report is about: figures of a run say nothing of a program that has changed since. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** `sluice 0.1.0, commit 0123abc, Node.js v24.0.0`; the commit only in a clone, and with `-dirty` where it was edited. */
export function versionUnderTest(): string {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    readonly version: string
  }
  const parts = [`sluice ${version}`, commit(), `Node.js ${process.version}`]
  return parts.filter((part) => part !== undefined).join(', ')
}

function commit(): string | undefined {
  try {
    const text = execFileSync('git', ['describe', '--always', '--dirty', '--exclude=*'], {
      cwd: import.meta.dirname,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    return `commit ${text.trim()}`
  } catch {
    return undefined
  }
}
