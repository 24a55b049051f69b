/**
 * Makes a town, lets it live for a while, and compares all that followed with what the database says must be. Answers the
 * exit code: 1 where anything differs, is left undone or was given up.
 */
import { setInterval as ticks, setTimeout as sleep } from 'node:timers/promises'
import { createApp } from 'sluice'
import { seededRandom } from 'sluice/testing'
import { components } from '../app.ts'
import type { LoadOptions } from '../arguments.ts'
import { checkAll, isRight, type Finding } from './check.ts'
import { Crew } from './crew.ts'
import { drive } from './drive.ts'
import { inTurn } from './in-turn.ts'
import { People, type Answer } from './people.ts'
import { nextAction, planTown, type Action, type Town } from './plan.ts'
import { report } from './report.ts'
import { behind, settle } from './settle.ts'
import { steer } from './steer.ts'

const AT_ONCE = 40
const WATCH_MS = 500
const CHECK_AGAIN_MS = 3_000
/** Looks that found it no better. */
const PATIENCE = 8
const LOOKS_OF_A_LINE = 4

export async function load(options: LoadOptions): Promise<number> {
  // What is worth reading here is the report; a process that dies is told of all the same.
  process.env['LOG_LEVEL'] ??= process.env['OTEL_LOG_VERBOSITY'] ?? 'warn'
  const { db, events, jobs } = components
  // It only looks: the work is done by the others.
  const app = createApp({ name: 'community', port: 0, host: '127.0.0.1', components: { db, events, jobs } })
  await app.start()
  await app.init.ready()
  const crew = new Crew()
  try {
    await crew.start(options.workers)
    return await run(options, crew, app.components)
  } finally {
    await crew.stop()
    await app.stop()
  }
}

type Used = Parameters<typeof behind>[0] & { readonly db: Parameters<typeof checkAll>[0] }

async function run(options: LoadOptions, crew: Crew, used: Used): Promise<number> {
  const { users, rate, seconds, seed, kills } = options
  const random = seededRandom(seed)
  const town = planTown(users, Date.now().toString(36), random)
  const people = new People(crew.ask)
  await build(town, people)
  say(
    `a town of ${people.population} people and ${town.follows.length} follows; ${rate} actions a second for ${seconds} s`,
  )

  const most = { events: 0, oldestMs: 0 }
  const watching = new AbortController()
  let began = 0
  const watched = watch(used, most, watching.signal, () => began)
  const act = (action: Action): Promise<Answer | undefined> => {
    began++
    return people.act(action)
  }
  const steering = steer(crew)
  const killing = killNowAndThen(crew, kills, (seconds * 1_000) / (kills + 1))
  const done = await drive({
    rate,
    seconds,
    next: () => nextAction(town, random),
    act,
    isOver: () => steering.isOver,
  })
  await killing
  await steering.end()
  const ended = performance.now()
  const left = await settle(() => behind(used))
  const settleSeconds = (performance.now() - ended) / 1_000
  watching.abort()
  await watched

  const findings = await checkInTime(used.db)
  say(`\n${report({ done, crew, most, settleSeconds, findings })}\n`)
  if (!left.settled) say(`not done: ${JSON.stringify(left)}`)
  if (left.dead > 0) say(`${left.dead} dead letters`)
  const right = left.settled && left.dead === 0 && isRight(findings)
  say(right ? 'everything is as it must be' : 'NOT everything is as it must be')
  return right ? 0 : 1
}

/**
 * On a busy machine something may come later than it seemed: as long as it gets better, it is looked at again. What is
 * wrong does not become right by waiting.
 */
async function checkInTime(db: Used['db']): Promise<readonly Finding[]> {
  let least = Infinity
  for (let patience = PATIENCE; ; patience--) {
    const findings = await checkAll(db)
    const faults = findings.reduce((sum, { missing, wrong }) => sum + missing + wrong, 0)
    if (faults < least) [least, patience] = [faults, PATIENCE]
    if (faults === 0 || patience === 0) return findings
    await sleep(CHECK_AGAIN_MS)
  }
}

async function build(town: Town, people: People): Promise<void> {
  await inTurn(AT_ONCE, town.names, (name) => people.register(name))
  await inTurn(AT_ONCE, town.circles, (name, index) => people.found(name, index))
  await inTurn(AT_ONCE, town.follows, (follow) => people.follow(follow))
}

/** Keeps the worst, and says now and then how it goes. */
async function watch(
  used: Used,
  most: { events: number; oldestMs: number },
  signal: AbortSignal,
  began: () => number,
): Promise<void> {
  let looks = 0
  try {
    for await (const _ of ticks(WATCH_MS, undefined, { signal })) {
      const now = await behind(used)
      most.events = Math.max(most.events, now.events)
      most.oldestMs = Math.max(most.oldestMs, now.oldestMs)
      const isTime = ++looks % LOOKS_OF_A_LINE === 0
      if (isTime)
        say(
          `  ${began()} actions, ${now.events} events and ${Math.round(now.oldestMs)} ms behind, ${now.jobs} jobs`,
        )
    }
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

async function killNowAndThen(crew: Crew, kills: number, everyMs: number): Promise<void> {
  if (kills === 0) return
  for await (const _ of ticks(everyMs)) {
    await crew.replaceOne()
    if (crew.kills === kills) return
  }
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}
