/** What a child process runs: one task, whose answer it sends before it ends. */
import { toError } from '../../core/errors.ts'
import type { ChildAnswer, TaskMessage } from './message.ts'
import { callTask } from './task-call.ts'

process.once('message', (message: TaskMessage) => {
  void callTask(message).then(({ reply }) => {
    try {
      answer(reply)
    } catch (thrown) {
      answer({ unsent: toError(thrown).message })
    }
  })
})

/** Throws when it cannot be copied. The parent ends this process once it has the answer. */
function answer(message: ChildAnswer): void {
  process.send?.(message, () => {
    if (process.connected) process.disconnect()
  })
}
