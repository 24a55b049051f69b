import { SluiceError } from '../../../../src/core/errors.ts'

class TaskError extends Error {
  override readonly name = 'TaskError'
  readonly code = 'E_TASK'
}

export const throws = (): never => {
  throw new TaskError('no such customer', { cause: new Error('the reason') })
}
export const throwsSluice = (): never => {
  throw new SluiceError('SLUICE_CONFLICT', 'already there')
}
export const throwsFunction = (): never => {
  throw Object.assign(new Error('odd'), { handler: () => {} })
}
export const rejects = (): Promise<never> => Promise.reject(new RangeError('too far'))
export const exits = (code: number): never => process.exit(code)
export const loops = (): never => {
  for (;;);
}
export const throwsLater = (): Promise<never> => {
  setImmediate(() => {
    throw new Error('nobody catches this')
  })
  return new Promise(() => {})
}
export const eatsMemory = (): never => {
  const kept: unknown[] = []
  for (;;) kept.push(Array.from({ length: 1_000 }, (_, i) => ({ i, text: `${i}` })))
}
export const returnsFunction = (): unknown => () => {}
export const leavesATimerThatThrows = (): string => {
  setImmediate(() => {
    throw new Error('after the task')
  })
  return 'done'
}
/** Answers with its process, which a timer keeps alive. */
export const leavesATimer = (): number => {
  setInterval(() => {}, 1_000)
  return process.pid
}
/** One allocation beyond what the heap can stretch to: ends the process, whatever its threads' limits. */
export const allocatesAtOnce = (): number => {
  const kept: unknown[] = []
  for (let i = 0; ; i++) kept.push(Array<number>(50_000_000).fill(i))
}
export const dies = (signal: string): Promise<never> => {
  process.kill(process.pid, signal)
  return new Promise(() => {})
}
