/**
 * A subject in a process of its own, measured when it is asked to. Subjects of one process disturb each other: they share
 * type feedback, the heap that a collection walks, and the moment at which the compiler gives a function up.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Subject } from './benchmark.ts'

export interface SubjectProcess extends AsyncDisposable {
  /** One round in that process. Throws when it ends instead of answering. */
  measure(): Promise<number>
}

/** Starts a program of bench/programs that calls `answerRounds`; resolves when it has made itself ready. */
export async function subjectProcess(program: string, args: readonly string[]): Promise<SubjectProcess> {
  const child = fork(join(import.meta.dirname, '../programs', program), args, {
    execArgv: ['--conditions=sluice-source'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const exited = once(child, 'exit')
  const ended = exited.then(() => {
    throw new Error(`${program} ${args.join(' ')} ended`)
  })
  ended.catch(() => {})
  const next = async (): Promise<unknown> => (await Promise.race([once(child, 'message'), ended]))[0]
  await next()
  return {
    async measure() {
      const answer = next()
      child.send('round')
      return Number(await answer)
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await exited
    },
  }
}

/** Subjects of one program, each in its process; `stack` ends them. */
export async function subjectProcesses(
  program: string,
  args: readonly string[],
  named: Readonly<Record<string, string>>,
  unit: string,
  stack: AsyncDisposableStack,
): Promise<readonly Subject[]> {
  const subjects: Subject[] = []
  for (const [id, name] of Object.entries(named)) {
    const own = stack.use(await subjectProcess(program, [id, ...args]))
    subjects.push({ name, unit, measure: () => own.measure() })
  }
  return subjects
}

/** The other side: says that it is ready, then measures whenever it is asked. */
export function answerRounds(measure: () => Promise<number> | number): void {
  process.on('message', () => {
    void Promise.resolve(measure()).then((value) => process.send?.(value))
  })
  process.send?.('ready')
}
