/** What a child process runs: one task, whose answer it sends before it ends. */
import type { TaskMessage } from './message.ts'
import { callTask } from './task-call.ts'

process.once('message', (message: TaskMessage) => {
  void callTask(message).then(({ reply }) => process.send?.(reply, () => process.disconnect()))
})
