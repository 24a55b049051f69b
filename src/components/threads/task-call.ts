/**
 * Loads a task's module, once, and calls its function in the caller's context; in a thread or in a child process.
 *
 * A module is named by its file: URL. Where `task.ts` does not exist, `task.js` beside it is taken, because tsc leaves
 * `new URL('./task.ts', import.meta.url)` as it is when it compiles the rest.
 */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { SluiceError, toError } from '../../core/errors.ts'
import { runWithCarrier } from '../../telemetry/context.ts'
import type { TaskMessage, TaskReply } from './message.ts'
import { Transferred, type TransferList } from './transfer.ts'

type TaskFunction = (data: unknown) => unknown

// A thread's own: modules cannot be unloaded, so neither are their functions. One entry for each task of the program.
const functions = new Map<string, Promise<TaskFunction>>()

/** What is sent back, and what of it is to be moved. Never rejects for what the task does. */
export async function callTask(
  message: TaskMessage,
): Promise<{ readonly reply: TaskReply; readonly list: TransferList }> {
  if (message.isCancelled === true) return { reply: { ok: true, value: undefined }, list: [] }
  try {
    const key = `${message.name} ${message.url}`
    let task = functions.get(key)
    if (task === undefined) {
      task = load(message)
      functions.set(key, task)
    }
    const fn = await task
    const value = await runWithCarrier(message.carrier, () => fn(message.data))
    if (!(value instanceof Transferred)) return { reply: { ok: true, value }, list: [] }
    return { reply: { ok: true, value: value.value }, list: value.list }
  } catch (thrown) {
    return { reply: failure(thrown), list: [] }
  }
}

async function load({ url, name }: TaskMessage): Promise<TaskFunction> {
  const href = moduleOf(url)
  if (href === undefined) throw new SluiceError('SLUICE_INVALID_ARGUMENT', `task: there is no module ${url}`)
  const exports = (await import(href)) as Readonly<Record<string, unknown>>
  const fn = exports[name]
  if (typeof fn === 'function') return fn as TaskFunction
  const known = Object.keys(exports).filter((each) => typeof exports[each] === 'function')
  throw new SluiceError(
    'SLUICE_INVALID_ARGUMENT',
    `task: ${href} exports no function "${name}" (it exports: ${known.join(', ') || 'none'})`,
  )
}

function moduleOf(url: string): string | undefined {
  if (existsSync(fileURLToPath(url))) return url
  const compiled = url.replace(/\.ts$/, '.js')
  return existsSync(fileURLToPath(compiled)) ? compiled : undefined
}

function failure(thrown: unknown): TaskReply {
  const code = (thrown as { readonly code?: unknown } | null | undefined)?.code
  const name = thrown instanceof Error ? thrown.name : undefined
  return { ok: false, error: cloneable(thrown), name, code: typeof code === 'string' ? code : undefined }
}

/** The thrown value if it can be sent, else what can be told of it. */
function cloneable(thrown: unknown): unknown {
  try {
    return structuredClone(thrown)
  } catch {
    const { message, stack } = toError(thrown)
    return Object.assign(new Error(message), { stack })
  }
}
