/** Whether this program may work on a subscription, or stands by because others read what it does not know. */
import { changeReads } from '../engine/log/reads.ts'
import type { SubscriptionState } from '../engine/log/watch.ts'
import { ABSENCE_MS, unknownTo, withoutGone, withOwn } from './agreement.ts'
import type { SubscriberHost } from './parts.ts'
import type { SubscriptionSpec } from './spec.ts'

/** Changes in a row while others change it as well. */
const TRIES = 20

export class Standing {
  readonly #host: SubscriberHost
  readonly #spec: SubscriptionSpec
  #isFirst = true
  #goneSince: number | undefined
  #unknown: readonly string[] = []

  constructor(host: SubscriberHost, spec: SubscriptionSpec) {
    this.#host = host
    this.#spec = spec
  }

  /** Topics and patterns that this program does not know: it stands by where there are any. */
  get unknown(): readonly string[] {
    return this.#unknown
  }

  /** Makes sure that the database knows what this program reads, and looks whether it knows what the database says. */
  async agree(seen: SubscriptionState): Promise<void> {
    let state = seen
    for (let i = 0; i < TRIES; i++) {
      this.#look(unknownTo(this.#spec.patterns, state))
      const patterns = this.#change(state)
      this.#isFirst = false
      if (patterns === undefined) return
      if (await changeReads(this.#host.engine.db, state.id, state.reads, patterns)) this.#host.tell()
      const after = await this.#host.stateOf(state.id)
      if (after === undefined) return
      state = after
    }
  }

  /** Somebody changed it between two looks. */
  standBy(patterns: readonly string[]): void {
    this.#look(unknownTo(this.#spec.patterns, { patterns, others: [] }))
  }

  #change(state: SubscriptionState): readonly string[] | undefined {
    const { clock } = this.#host.engine
    const own = this.#spec.patterns
    const rest = withoutGone(own, state)
    if (rest === undefined) {
      this.#goneSince = undefined
      return withOwn(own, state)
    }
    this.#goneSince ??= clock.monotonic()
    const isAlone = this.#isFirst && state.others.length === 0
    if (!isAlone && clock.monotonic() - this.#goneSince < ABSENCE_MS) return withOwn(own, state)
    this.#goneSince = undefined
    this.#host.log.warn(
      { subscription: this.#spec.name, before: state.patterns, now: rest },
      'a subscription reads less: no program is alive that reads the rest',
    )
    return rest
  }

  #look(unknown: readonly string[]): void {
    const subscription = this.#spec.name
    if (unknown.length > 0 && this.#unknown.length === 0) {
      this.#host.log.warn(
        { subscription, unknown },
        'a subscription stands by in this process: others read topics of it that this program does not know',
      )
    } else if (unknown.length === 0 && this.#unknown.length > 0) {
      this.#host.log.info({ subscription }, 'a subscription that stood by goes on')
    }
    this.#unknown = unknown
  }
}
