/** Every command there is, by the name that users call it. */
import type { KeyMapper } from './command.ts'
import { hashCommands, type HashCommands } from './hashes.ts'
import { listCommands, type ListCommands } from './lists.ts'
import { setCommands, type SetCommands } from './sets.ts'
import { stringCommands, type StringCommands } from './strings.ts'

export interface Commands extends StringCommands, HashCommands, ListCommands, SetCommands {}

export function allCommands(key: KeyMapper): Commands {
  return { ...stringCommands(key), ...hashCommands(key), ...listCommands(key), ...setCommands(key) }
}
