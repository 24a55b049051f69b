/** What each thread of the pool runs. */
import { move, transferableSymbol, valueSymbol } from 'piscina'
import type { TaskMessage, TaskReply } from './message.ts'
import { callTask } from './task-call.ts'

/** Called by the pool in the thread. Never rejects for what the task does. */
export async function runTask(message: TaskMessage): Promise<TaskReply> {
  const { reply, list } = await callTask(message)
  if (list.length === 0) return reply
  return move({ [transferableSymbol]: list, [valueSymbol]: reply } as never) as unknown as TaskReply
}

/** Proof that a thread starts and answers. */
export function ping(): TaskReply {
  return { ok: true, value: undefined }
}
