/**
 * A task in a process of its own, for what a thread cannot survive: an allocation that is too large at once ends the
 * whole process that makes it, and here that is the child. Costs the start of a process (about 80 ms) for each task.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { onAbort } from '../../core/abort.ts'
import { SluiceError } from '../../core/errors.ts'
import { outOfMemory } from './failure.ts'
import type { TaskMessage, TaskReply } from './message.ts'

const RUNNER = new URL(
  import.meta.url.endsWith('.ts') ? './child-runner.ts' : './child-runner.js',
  import.meta.url,
)
/** The end of what the child wrote on standard error is kept: it says why the engine gave up. */
const MAX_LAST_WORDS = 8_192
/** What V8 writes when it ends a process for want of memory, or for an allocation beyond its own limits. */
const NO_MEMORY =
  /heap out of memory|Reached heap limit|Fatal JavaScript invalid (array|size|string)|bad_alloc/i

/** Resolves with the task's answer; rejects with SLUICE_THREAD_MEMORY or SLUICE_THREAD_CRASHED when there is none. */
export async function runInChild(
  message: TaskMessage,
  signal: AbortSignal,
  task: string,
  memoryLimitBytes: number,
): Promise<TaskReply> {
  signal.throwIfAborted()
  const child = fork(RUNNER, {
    serialization: 'advanced',
    execArgv: [...process.execArgv, `--max-old-space-size=${Math.ceil(memoryLimitBytes / 1_048_576)}`],
    stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
  })
  const lastWords = keepLastWords(child)
  const release = onAbort(signal, () => void child.kill('SIGKILL'))
  try {
    const { reply, code, killedBy } = await answerOf(child, message)
    if (reply !== undefined) return reply
    signal.throwIfAborted()
    const cause = new Error(lastWords().trim() || 'the child process said nothing')
    if (NO_MEMORY.test(cause.message)) throw outOfMemory(task, memoryLimitBytes, cause)
    const how = killedBy === null ? `by itself with exit code ${code}` : `by signal ${killedBy}`
    throw new SluiceError('SLUICE_THREAD_CRASHED', `the process that ran ${task} was ended ${how}`, {
      cause,
      details: killedBy === null ? { exitCode: code } : { signal: killedBy },
    })
  } finally {
    release()
    child.kill('SIGKILL')
  }
}

interface Answer {
  readonly reply?: TaskReply
  readonly code: number | null
  readonly killedBy: NodeJS.Signals | null
}

function answerOf(child: ChildProcess, message: TaskMessage): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let reply: TaskReply | undefined
    child.once('message', (received) => void (reply = received as TaskReply))
    child.once('error', reject)
    // After its streams have ended, so that its last words are complete.
    child.once('close', (code, killedBy) => resolve({ ...(reply && { reply }), code, killedBy }))
    child.send(message, (error) => {
      if (error !== null && child.exitCode === null && child.signalCode === null) reject(error)
    })
  })
}

function keepLastWords(child: ChildProcess): () => string {
  let words = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    words = (words + text).slice(-MAX_LAST_WORDS)
    process.stderr.write(text)
  })
  return () => words
}
