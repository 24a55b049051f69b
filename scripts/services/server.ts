/**
 * One server in a directory of its own: launched from a recipe, waited for until it answers in its protocol, ended. The
 * command line and the tests that need a broker to kill use the same.
 */
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { birthOf, endProcess, runToEnd, startDetached } from './process.ts'
import type { Placement, Recipe } from './service.ts'

export const HOST = '127.0.0.1'
/** A cold JVM on a busy machine takes its time. */
const USABLE_LIMIT_MS = 120_000
const PREPARE_LIMIT_MS = 60_000
const PROBE_LIMIT_MS = 3_000
const END_LIMIT_MS = 15_000

export interface Running {
  readonly pid: number
  /** Tells it from a later process with the same id. */
  readonly birth: string
  readonly log: string
}

/** Formats what must be formatted. Once for a directory; `launch` may follow as often as the server ends. */
export async function prepare(recipe: Recipe, placement: Placement): Promise<void> {
  await mkdir(join(placement.directory, 'data'), { recursive: true })
  for (const { program, args } of await recipe.prepare(placement)) {
    await runToEnd({ program, args, directory: placement.directory, limitMs: PREPARE_LIMIT_MS })
  }
}

export async function launch(recipe: Recipe, placement: Placement): Promise<Running> {
  const log = join(placement.directory, `${recipe.name}.log`)
  const { program, args } = recipe.command(placement)
  const pid = await startDetached({ program, args, directory: placement.directory, logFile: log })
  const birth = await birthOf(pid)
  if (birth === undefined) throw new Error(`${recipe.name} ended at once; its log: ${log}`)
  return { pid, birth, log }
}

/** Resolves with its answer; rejects when it has ended or does not answer in time, with the last lines of its log. */
export async function waitUntilUsable(recipe: Recipe, port: number, running: Running): Promise<string> {
  const until = performance.now() + USABLE_LIMIT_MS
  for (let reason: unknown; ; await sleep(100)) {
    try {
      return await ask(recipe, port)
    } catch (error) {
      reason = error
    }
    const hasEnded = (await birthOf(running.pid)) !== running.birth
    if (!hasEnded && performance.now() < until) continue
    const what = hasEnded ? 'ended before it answered' : `did not answer within ${USABLE_LIMIT_MS / 1_000} s`
    throw new Error(
      `${recipe.name} ${what} (${String(reason)}); its log, ${running.log}, ends:\n${await tail(running.log)}`,
    )
  }
}

/** One question in the server's own protocol. */
export function ask(recipe: Recipe, port: number): Promise<string> {
  return recipe.probe(HOST, port, AbortSignal.timeout(PROBE_LIMIT_MS))
}

export async function end(running: Running): Promise<void> {
  await endProcess(running.pid, running.birth, END_LIMIT_MS)
}

async function tail(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch(() => '')
  return text.trimEnd().split('\n').slice(-15).join('\n')
}
