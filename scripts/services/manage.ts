/**
 * Start, stop and status of the servers that this script owns. A server is owned when its state file names a process
 * that still is the one that was started; nothing else is ever stopped.
 *
 *     <directory>/<name>/state.json    process id, its birth, ports
 *     <directory>/<name>/<name>.log
 *     <directory>/<name>/data          removed by `stop`
 */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { bring } from './artifacts.ts'
import { holdLock } from './lock.ts'
import { birthOf } from './process.ts'
import { ask, end, HOST, launch, prepare, waitUntilUsable, type Running } from './server.ts'
import type { Recipe } from './service.ts'
import { heapOf, portsOf, servicesDirectory } from './settings.ts'

interface State extends Running {
  readonly port: number
}

type Say = (text: string) => void

/** Starts one and waits until it answers. Twice is once. */
export async function start(recipe: Recipe, say: Say): Promise<void> {
  const directory = join(servicesDirectory(), recipe.name)
  await mkdir(servicesDirectory(), { recursive: true, mode: 0o700 })
  await using _lock = await holdLock(`${directory}.lock`)
  const running = await readState(directory)
  if (running !== undefined) {
    const answer = await waitUntilUsable(recipe, running.port, running)
    say(`already started (process ${running.pid}): ${answer}; ${recipe.address(HOST, running.port)}`)
    return
  }
  const ports = portsOf(recipe)
  const port = ports['port'] ?? 0
  const stranger = await ask(recipe, port).catch(() => undefined)
  if (stranger !== undefined) {
    say(`left alone: one that this script did not start answers (${stranger}); ${recipe.address(HOST, port)}`)
    return
  }
  const startedAt = performance.now()
  const jars = await bring(recipe, say)
  await rm(directory, { recursive: true, force: true })
  await mkdir(directory, { recursive: true })
  const placement = { host: HOST, ports, directory, jars, heapMb: heapOf(recipe), quick: false, settings: {} }
  await prepare(recipe, placement)
  const started = await launch(recipe, placement)
  await writeFile(join(directory, 'state.json'), JSON.stringify({ ...started, port } satisfies State))
  try {
    const answer = await waitUntilUsable(recipe, port, started)
    const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1)
    say(`started ${recipe.title} in ${seconds} s (process ${started.pid}): ${answer}`)
    say(`${recipe.address(HOST, port)}; data and log in ${directory}`)
  } catch (error) {
    await end(started)
    await rm(join(directory, 'state.json'), { force: true })
    throw error
  }
}

/** Ends the one that this script started, and removes its data. */
export async function stop(recipe: Recipe, say: Say): Promise<void> {
  const directory = join(servicesDirectory(), recipe.name)
  await mkdir(servicesDirectory(), { recursive: true, mode: 0o700 })
  await using _lock = await holdLock(`${directory}.lock`)
  const running = await readState(directory)
  if (running !== undefined) await end(running)
  await rm(directory, { recursive: true, force: true })
  say(
    running === undefined
      ? 'was not started by this script'
      : `stopped (process ${running.pid}), data removed`,
  )
}

/** Says how it is; true when it answers. */
export async function status(recipe: Recipe, say: Say): Promise<boolean> {
  const running = await readState(join(servicesDirectory(), recipe.name))
  const port = running?.port ?? portsOf(recipe)['port'] ?? 0
  const answer = await ask(recipe, port).catch((error: unknown) =>
    error instanceof Error ? error : new Error(String(error)),
  )
  const owner =
    running === undefined ? 'not started by this script' : `process ${running.pid}, log ${running.log}`
  if (answer instanceof Error) {
    say(
      running === undefined
        ? `stopped; nothing answers on port ${port}`
        : `does not answer: ${answer.message} (${owner})`,
    )
    return false
  }
  say(`${answer} (${owner}); ${recipe.address(HOST, port)}`)
  return true
}

async function readState(directory: string): Promise<State | undefined> {
  const text = await readFile(join(directory, 'state.json'), 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  const state = JSON.parse(text) as State
  return (await birthOf(state.pid)) === state.birth ? state : undefined
}
