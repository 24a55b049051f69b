/**
 * What a program that runs the load may say to it: `child.send('kill')` ends a process by SIGKILL and starts another,
 * `child.send('enough')` ends what people do, before its time.
 */
import type { Crew } from './crew.ts'

export interface Steering {
  readonly isOver: boolean
  /** Resolves when what was asked for is done; nothing more is heard then. */
  end(): Promise<void>
}

export function steer(crew: Pick<Crew, 'replaceOne'>): Steering {
  let isOver = false
  let killing = Promise.resolve()
  const hear = (word: unknown): void => {
    if (word === 'enough') isOver = true
    if (word === 'kill') killing = killing.then(() => crew.replaceOne())
  }
  process.on('message', hear)
  return {
    get isOver() {
      return isOver
    },
    end() {
      process.off('message', hear)
      return killing
    },
  }
}
