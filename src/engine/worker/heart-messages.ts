/** What the main thread and the thread of the heartbeat tell each other. All of it can be cloned. */
import type { DirectSettings } from '../../components/postgres/direct.ts'

export interface HeartData {
  readonly settings: DirectSettings
  /** Of the worker's row, for people. */
  readonly name: string
  readonly info: string
  /** Which tables the row is in; undefined for any. */
  readonly tables: string | undefined
  /** Tell other processes of tasks that became ready. */
  readonly channel: string | undefined
  /** The row that a thread before this one kept alive. */
  readonly id: string | undefined
  /** One number: `process.hrtime.bigint()` when the last heartbeat that was answered was sent. */
  readonly lastBeat: SharedArrayBuffer
}

export type ToHeart =
  { readonly kind: 'settings'; readonly settings: DirectSettings } | { readonly kind: 'leave' }

export type FromHeart =
  | { readonly kind: 'registered'; readonly id: string; readonly hasLock: boolean }
  | { readonly kind: 'lost'; readonly id: string; readonly why: 'dead' | 'silence' }
  | { readonly kind: 'buried'; readonly workers: readonly { readonly id: string; readonly name: string }[] }
  /** Topics for which there is something to do now, and how many tasks were freed. */
  | {
      readonly kind: 'freed'
      readonly topics: readonly string[]
      readonly freed: number
      readonly dead: number
    }
  /** It cannot reach the database, so many times in a row; the settings may be old. */
  | { readonly kind: 'failing'; readonly failures: number; readonly error: Error }
  | { readonly kind: 'left'; readonly done: boolean }
