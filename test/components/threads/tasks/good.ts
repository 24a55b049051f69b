import { threadId } from 'node:worker_threads'
import { currentContext } from '../../../../src/telemetry/context.ts'
import { withTransfer } from '../../../../src/components/threads/transfer.ts'

export const run = (data: unknown): unknown => data
export const sum = (numbers: readonly number[]): number => numbers.reduce((total, each) => total + each, 0)
export const thread = (): number => threadId
export const context = (): unknown => currentContext()
export const length = (bytes: ArrayBuffer): number => bytes.byteLength
export const bytes = (size: number): Uint8Array<ArrayBuffer> => {
  const made = new Uint8Array(size).fill(7)
  return withTransfer(made, [made.buffer])
}
export const argumentsOf = (): readonly string[] => process.execArgv
/** Busy until the first byte of the shared array is 1: a task whose end the test decides, without a timer. */
export const hold = (shared: Int32Array): number => {
  Atomics.add(shared, 1, 1)
  Atomics.notify(shared, 1)
  Atomics.wait(shared, 0, 0)
  return threadId
}
/** The same without holding up its neighbours in the thread. */
export const wait = async (shared: Int32Array): Promise<number> => {
  Atomics.add(shared, 1, 1)
  Atomics.notify(shared, 1)
  const waiting = Atomics.waitAsync(shared, 0, 0)
  if (waiting.async) await waiting.value
  return threadId
}
export const notATask = 42
