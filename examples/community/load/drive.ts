/**
 * Lets people do things at a rate. When the site is slow they do not wait for it, up to a limit, and what they wait is
 * counted from when they wanted to begin.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Action } from './plan.ts'
import { SampleSet } from './samples.ts'
import type { Answer } from './people.ts'

export interface Drive {
  readonly rate: number
  readonly seconds: number
  readonly next: () => Action
  readonly act: (action: Action) => Promise<Answer | undefined>
  /** Asked before each action: is it enough? */
  readonly isOver?: () => boolean
}

export interface Done {
  /** Milliseconds until the answer, of each kind of action. */
  readonly answered: SampleSet
  /** By the kind of action: refused (4xx), failed (5xx), and those of which nobody knows. */
  readonly refused: Readonly<Record<string, number>>
  readonly failed: Readonly<Record<string, number>>
  readonly lost: Readonly<Record<string, number>>
  readonly seconds: number
}

/** Actions under way at once, at most. */
const MOST_AT_ONCE = 400

export async function drive({ rate, seconds, next, act, isOver }: Drive): Promise<Done> {
  const answered = new SampleSet()
  const refused: Record<string, number> = {}
  const failed: Record<string, number> = {}
  const lost: Record<string, number> = {}
  const underWay = new Set<Promise<void>>()
  const began = performance.now()
  const total = rate * seconds

  const one = async (action: Action, wantedAt: number): Promise<void> => {
    const answer = await act(action)
    if (answer === undefined) return
    const { status } = answer
    const counts = status === 0 ? lost : status >= 500 ? failed : status >= 400 ? refused : undefined
    if (counts === undefined) answered.of(action.kind).add(performance.now() - wantedAt)
    else counts[action.kind] = (counts[action.kind] ?? 0) + 1
  }

  for (let sent = 0; sent < total && isOver?.() !== true; sent++) {
    const wantedAt = began + (sent / rate) * 1_000
    const early = wantedAt - performance.now()
    if (early > 1) await sleep(early)
    while (underWay.size >= MOST_AT_ONCE) await Promise.race(underWay)
    const running = one(next(), wantedAt).finally(() => underWay.delete(running))
    underWay.add(running)
  }
  await Promise.all(underWay)
  return { answered, refused, failed, lost, seconds: (performance.now() - began) / 1_000 }
}
