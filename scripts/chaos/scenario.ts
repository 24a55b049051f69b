/** What a chaos run is about: its programs, who has to see what, when it is drained. */
import type pg from 'pg'
import type { Reader } from './check.ts'

export interface Scenario {
  readonly name: string
  readonly worker: URL
  readonly client: URL
  readonly readers: readonly Reader[]
  /** Moments at which its processes end themselves. */
  readonly workerMoments: readonly string[]
  readonly clientMoments: readonly string[]
  /** Tasks that are still to be done, dead letters not counted. */
  left(db: pg.Client): Promise<number>
  /** Dead letters: attempts were used up, which a run must not come to. */
  dead(db: pg.Client): Promise<number>
}
