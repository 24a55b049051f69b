/**
 * A task in a process of its own, for what a thread cannot survive: an allocation that is too large at once ends the
 * whole process that makes it, and here that is the child. Costs the start of a process (about 80 ms) for each task.
 *
 * The answer is the end of the task: whatever it left running (a timer, a connection) ends with the process, which is
 * killed then.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { onAbort } from '../../core/abort.ts'
import { SluiceError, toError } from '../../core/errors.ts'
import { notSendable, outOfMemory } from './failure.ts'
import type { ChildAnswer, TaskMessage, TaskReply } from './message.ts'

const RUNNER = new URL(
  import.meta.url.endsWith('.ts') ? './child-runner.ts' : './child-runner.js',
  import.meta.url,
)
/** The end of what the child wrote on standard error is kept: it says why the engine gave up. */
const MAX_LAST_WORDS = 8_192
/** What V8 writes when it ends a process for want of memory, or for an allocation beyond its own limits. */
const NO_MEMORY =
  /heap out of memory|Reached heap limit|Fatal JavaScript invalid (array|size|string)|bad_alloc/i

/** What a task in a child process is run with. */
export interface ChildRun {
  readonly message: TaskMessage
  /** Name of the task in errors. */
  readonly task: string
  readonly memoryLimitBytes: number
  readonly signal: AbortSignal
  /** Is handed a promise that resolves when the process is gone, which is a moment after the result. */
  readonly onStart: (gone: Promise<void>) => void
}

/**
 * Resolves with the task's answer; rejects with SLUICE_THREAD_MEMORY or SLUICE_THREAD_CRASHED when there is none, and
 * with SLUICE_INVALID_ARGUMENT when its data or its result cannot be sent.
 */
export async function runInChild(run: ChildRun): Promise<TaskReply> {
  const { signal, task, memoryLimitBytes, onStart } = run
  signal.throwIfAborted()
  const child = fork(RUNNER, {
    serialization: 'advanced',
    execArgv: [...process.execArgv, `--max-old-space-size=${Math.ceil(memoryLimitBytes / 1_048_576)}`],
    stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
  })
  onStart(endOf(child))
  const lastWords = keepLastWords(child)
  try {
    const end = await answerOrEnd(child, run)
    if ('ok' in end) return end
    if ('unsent' in end) throw notSendable(task, end.unsent, undefined)
    const cause = new Error(lastWords().trim() || 'the child process said nothing')
    if (NO_MEMORY.test(cause.message)) throw outOfMemory(task, memoryLimitBytes, cause)
    const { code, killedBy } = end
    const how = killedBy === null ? `by itself with exit code ${code}` : `by signal ${killedBy}`
    throw new SluiceError('SLUICE_THREAD_CRASHED', `the process that ran ${task} was ended ${how}`, {
      cause,
      details: killedBy === null ? { exitCode: code } : { signal: killedBy },
    })
  } finally {
    child.kill('SIGKILL')
  }
}

/** The process ended without an answer. */
interface ChildEnd {
  readonly code: number | null
  readonly killedBy: NodeJS.Signals | null
}

function answerOrEnd(
  child: ChildProcess,
  { message, task, signal }: ChildRun,
): Promise<ChildAnswer | ChildEnd> {
  const { promise, resolve, reject } = Promise.withResolvers<ChildAnswer | ChildEnd>()
  const release = onAbort(signal, reject)
  child.once('message', (answer) => resolve(answer as ChildAnswer))
  child.on('error', (cause) => {
    reject(new SluiceError('SLUICE_THREAD_CRASHED', `no process could be started for ${task}`, { cause }))
  })
  // After its streams have ended, so that its last words are complete.
  child.once('close', (code, killedBy) => resolve({ code, killedBy }))
  try {
    // What fails later fails because the process ended, which says why.
    child.send(message, () => {})
  } catch (thrown) {
    // A process that could not be started has no channel either, and tells of it by 'error'.
    if (child.pid !== undefined) reject(notSendable(task, toError(thrown).message, thrown))
  }
  return promise.finally(release)
}

function endOf(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once('exit', () => resolve())
    child.on('error', () => {
      if (child.pid === undefined) resolve()
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
