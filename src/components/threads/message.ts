/** What goes to a thread and what comes back. Everything in it must survive structured cloning. */
import type { Carrier } from '../../telemetry/context.ts'

export interface TaskMessage {
  /** file: URL of the task's module. */
  readonly url: string
  /** Name of the exported function. */
  readonly name: string
  readonly data: unknown
  /** The request and trace that the task belongs to. */
  readonly carrier: Carrier
  /** Set when its caller has left before it was sent: then nothing is run. */
  isCancelled?: true
}

/**
 * A task's own failure comes back as a reply, so that whatever rejects otherwise is a failure of the thread.
 * `name` and `code` are sent beside the error because cloning an error drops both.
 */
export type TaskReply =
  | { readonly ok: true; readonly value: unknown }
  | {
      readonly ok: false
      readonly error: unknown
      readonly name: string | undefined
      readonly code: string | undefined
    }

/** What a child process sends: the reply, or why that could not be sent. */
export type ChildAnswer = TaskReply | { readonly unsent: string }
