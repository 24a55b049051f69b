/** Tasks without a key: claimed by priority and due time, by whoever asks first. */
import { ackTasks, failTasks } from '../engine/tasks/finish.ts'
import { claimTasks } from '../engine/tasks/claim.ts'
import { ClaimPosition } from '../engine/tasks/claim-position.ts'
import type { DoneTask, SourceHost, TaskSource } from './source.ts'
import { giveBack, keepResults, nextDue } from './statements.ts'

export function poolSource({ engine, queueId }: SourceHost): TaskSource {
  const { db } = engine
  const position = new ClaimPosition(engine.clock)
  return {
    claim: (lease, limit) => claimTasks(db, queueId, lease.id, limit, position),
    async done(on, tasks, lease) {
      const kept = tasks.filter(isKept)
      if (kept.length === 0) return ackTasks(on, tasks, lease.id)
      const rest = tasks.filter((task) => !isKept(task))
      const ids = await keepResults(on, kept, lease.id)
      if (rest.length === 0) return ids
      return new Set([...ids, ...(await ackTasks(on, rest, lease.id))])
    },
    fail: (on, tasks, lease) => failTasks(on, tasks, lease.id),
    release: (on, tasks, lease) => giveBack(on, tasks, lease.id),
    nextDue: () => nextDue(db, queueId),
    reset: () => {},
    close: () => Promise.resolve(),
  }
}

function isKept(task: DoneTask): boolean {
  return task.keepMs > 0
}
