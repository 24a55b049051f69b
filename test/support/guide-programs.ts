/**
 * The programs of a guide: each TypeScript block that is followed by a block of its output. Running them is what keeps
 * the guides true.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'

export interface GuideProgram {
  readonly code: string
  /** What it prints on standard output, to the character. */
  readonly output: string
}

const ROOT = new URL('../../', import.meta.url)
const PROGRAM = /^```ts\n([^]*?)^```\n+(?:[^\n`][^\n]*\n+)?^```text\n([^]*?)^```$/gm

export function programsOf(guide: string): readonly GuideProgram[] {
  const page = readFileSync(new URL(guide, ROOT), 'utf8')
  return Array.from(page.matchAll(PROGRAM), ([, code, output]) => ({ code: code!, output: output! }))
}

/**
 * Runs a program as its reader would, with nothing of this machine's configuration. Fails when it takes 30 s. What it
 * wrote to standard error is at the end of the output of one that failed, so that a report says why.
 */
export async function runProgram(
  code: string,
): Promise<{ readonly output: string; readonly status: number | null }> {
  const child = spawn(
    process.execPath,
    ['--conditions=sluice-source', '--input-type=module-typescript', '--eval', code],
    { cwd: ROOT, env: { PATH: process.env['PATH'] }, stdio: ['ignore', 'pipe', 'pipe'], timeout: 30_000 },
  )
  const exited = once(child, 'exit') as Promise<[number | null]>
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)])
  const [status] = await exited
  return { output: status === 0 ? output : output + errors, status }
}
