/**
 * Claims the heads of lanes (engine/tasks/keyed-lanes.ts) by their ids, as many as the rate of their keys allows, and finds
 * out of each that was not there for the taking what became of it, so that its lane goes on or waits.
 */
import { toError } from '../core/errors.ts'
import { claimKeyed, keyedState } from '../engine/tasks/keyed.ts'
import { takeRate } from '../engine/tasks/limits.ts'
import type { HeldTask } from '../engine/tasks/task.ts'
import type { Lease } from '../engine/worker/worker.ts'
import type { KeyedShard, Picked } from './keyed-shard.ts'
import type { LimitRules } from './limits.ts'
import type { SourceHost, TaskSource } from './source.ts'

export interface KeyedClaimsOptions {
  readonly rules: () => Pick<LimitRules, 'keyRate'>
  readonly release: TaskSource['release']
  readonly shardsOf: (lease: Lease) => readonly KeyedShard[]
  /** Taken over from another process, whose lane it is in. */
  readonly isGuest: (id: string) => boolean
  readonly onClaimed: (id: string, shard: KeyedShard) => void
}

/** A task that was there for the taking and was not taken: someone else has its row locked. */
const MIN_RETRY_MS = 20

export class KeyedClaims {
  readonly #host: SourceHost
  readonly #options: KeyedClaimsOptions
  /** Of the shards, which is asked first. */
  #first = 0

  constructor(host: SourceHost, options: KeyedClaimsOptions) {
    this.#host = host
    this.#options = options
  }

  async take(lease: Lease, limit: number): Promise<readonly HeldTask[]> {
    const picked = await this.#allowed(this.#pick(lease, limit))
    return picked.length === 0 ? [] : this.#claim(lease, picked)
  }

  /** Why they could not be claimed: gone, not due yet, another's still, paused, or ours by a claim without an answer. */
  async explain(lease: Lease, missed: readonly Picked[]): Promise<void> {
    const { engine } = this.#host
    try {
      const rows = await keyedState(
        engine.db,
        missed.map(({ task }) => task.id),
      )
      const ours = rows.filter(({ id, owner }) => owner === lease.id && !this.#options.isGuest(id))
      const byId = new Map(rows.map((row) => [row.id, row]))
      // What is gone lets the next of its key start.
      if (byId.size < missed.length) this.#host.wake()
      for (const { shard, task } of missed) {
        const row = byId.get(task.id)
        if (row === undefined) shard.remove(task.id)
        else if (row.held || row.paused) shard.defer(task)
        else if (row.dueIn > 0) shard.putBack(task.id, row.attempt, row.dueIn)
        else shard.defer(task, MIN_RETRY_MS)
      }
      if (ours.length === 0) return
      await this.#options.release(
        engine.db,
        ours.map(({ id, attempt }) => ({ id, attempt, delay: 0 })),
        lease,
      )
    } catch (error) {
      engine.log.debug({ err: toError(error) }, 'tasks with keys could not be claimed')
      for (const { shard, task } of missed) shard.defer(task)
    }
  }

  /** Heads of lanes, from each shard its part, each time from another one on. */
  #pick(lease: Lease, limit: number): readonly Picked[] {
    const shards = this.#options.shardsOf(lease)
    const picked: Picked[] = []
    const take = (shard: KeyedShard, most: number): void => {
      for (const task of shard.take(most)) picked.push({ shard, task })
    }
    const first = this.#first++
    for (let at = 0; at < shards.length; at++) {
      const shard = shards[(first + at) % shards.length]
      if (shard !== undefined) take(shard, Math.ceil((limit - picked.length) / (shards.length - at)))
    }
    // What the later ones did not want, the earlier ones may have.
    for (const shard of shards) if (picked.length < limit) take(shard, limit - picked.length)
    return picked
  }

  /** Those that the rate of their keys allows; the others are back in their lanes, which are blocked until it does. */
  async #allowed(picked: readonly Picked[]): Promise<readonly Picked[]> {
    const { engine, queueId } = this.#host
    const { keyRate } = this.#options.rules()
    if (keyRate === undefined || picked.length === 0) return picked
    const byKey = Map.groupBy(picked, ({ task }) => task.key)
    const wants = new Map([...byKey].map(([key, tasks]) => [key, tasks.length]))
    try {
      const answers = await takeRate(engine.db, queueId, wants, keyRate)
      return [...byKey].flatMap(([key, tasks]) => {
        const { granted = 0, dueIn = 0 } = answers.get(key) ?? {}
        for (const { shard, task } of tasks.slice(granted)) shard.defer(task, dueIn)
        return tasks.slice(0, granted)
      })
    } catch (error) {
      for (const { shard, task } of picked) shard.defer(task)
      throw error
    }
  }

  async #claim(lease: Lease, picked: readonly Picked[]): Promise<readonly HeldTask[]> {
    const { engine, queueId } = this.#host
    let tasks: readonly HeldTask[]
    try {
      tasks = await claimKeyed(
        engine.db,
        queueId,
        lease.id,
        picked.map(({ task }) => task),
      )
    } catch (error) {
      // Where the statement did its work all the same, the next claim finds out whose they are.
      for (const { shard, task } of picked) shard.defer(task)
      throw error
    }
    const byId = new Map(picked.map((each) => [each.task.id, each]))
    for (const { id } of tasks) {
      const shard = byId.get(id)?.shard
      byId.delete(id)
      if (shard !== undefined) this.#options.onClaimed(id, shard)
    }
    if (byId.size > 0) await this.explain(lease, [...byId.values()])
    return tasks
  }
}
