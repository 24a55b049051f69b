/** All units by the names under which they are called. */
import { APPLY } from './apply.ts'
import { ACQUIRE, CHECK, RELEASE, RENEW } from './lease.ts'
import { BEGIN_LOAD, FINISH_LOAD, PRUNE } from './load.ts'
import { DEAD_LETTERS, READ } from './read.ts'

export const UNITS = {
  acquire: ACQUIRE,
  release: RELEASE,
  renew: RENEW,
  apply: APPLY,
  read: READ,
  begin_load: BEGIN_LOAD,
  prune: PRUNE,
  finish_load: FINISH_LOAD,
  check: CHECK,
  dead_letters: DEAD_LETTERS,
} as const

export type Unit = keyof typeof UNITS
