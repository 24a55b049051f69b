/** From the option `unique` of a job to how its task is stored. */
import { boundedMs } from '../core/bounded-duration.ts'
import { invalidArgument, SluiceError } from '../core/errors.ts'
import { isStorable } from '../engine/storable.ts'
import { UNIQUE_WHILE_QUEUED } from '../engine/tasks/unique-name.ts'
import type { UniqueOptions } from './api.ts'

export interface Unique {
  readonly uniq: string
  readonly windowMs?: number
  readonly replace?: boolean
}

const MAX_KEY = 200
const OPTIONS: ReadonlySet<string> = new Set(['key', 'while', 'for', 'replace'])

/** Throws SLUICE_INVALID_ARGUMENT. Names are those of one job: another one of the same queue has its own. */
export function uniqueOf(job: string, unique: string | UniqueOptions): Unique {
  const what = `job "${job}": unique`
  const options: UniqueOptions = typeof unique === 'string' ? { key: unique } : unique
  for (const name in options) {
    if (!OPTIONS.has(name)) throw invalidArgument(what, `only ${[...OPTIONS].join(', ')}`, name)
  }
  const { key, while: during, for: window, replace = false } = options
  if (!isStorable(key, MAX_KEY)) {
    throw invalidArgument(`${what}: key`, `a text of 1 to ${MAX_KEY} characters that can be stored`, key)
  }
  if (typeof replace !== 'boolean') throw invalidArgument(`${what}: replace`, 'true or false', replace)
  const more = replace ? { replace } : {}
  if (window !== undefined) {
    if (during !== undefined) throw invalidArgument(`${what}: for`, 'no "while" beside it', window)
    if (replace) {
      throw new SluiceError(
        'SLUICE_INVALID_ARGUMENT',
        `${what}: "for" and "replace" do not go together: within the time, new data would be dropped once the job runs`,
        { hint: 'To debounce, leave "for" out and give the job a delay.' },
      )
    }
    return { uniq: `${job}:${key}`, windowMs: boundedMs(window, `${what}: for`, '1ms', '3650d'), ...more }
  }
  if (during !== undefined && during !== 'queued' && during !== 'running') {
    throw invalidArgument(`${what}: while`, '"queued" or "running"', during)
  }
  if (replace && during === 'running') {
    // While one runs the new data would go nowhere.
    throw invalidArgument(`${what}: replace`, 'while: "queued" beside it, which is its default', during)
  }
  return { uniq: `${during === 'queued' || replace ? UNIQUE_WHILE_QUEUED : 'r:'}${job}:${key}`, ...more }
}
