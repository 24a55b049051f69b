/**
 * The seam between the component and what decides when something runs: in this process alone, or with a database in the
 * cluster.
 */
import type { CronRun, ScheduleStatus, StartedRun } from './api.ts'
import type { Entry, Plan } from './entry.ts'
import { invalidArgument, type SluiceError } from '../core/errors.ts'

export interface Scheduler {
  open(signal: AbortSignal): Promise<void>
  check(signal: AbortSignal): Promise<void>
  /** A new schedule; it is in force soon. */
  add(entry: Entry): void
  reschedule(name: string, plan: Plan): Promise<void>
  remove(name: string): Promise<boolean>
  pause(name: string): Promise<void>
  resume(name: string): Promise<void>
  runNow(name: string, key: string | undefined): Promise<StartedRun>
  history(name: string, limit: number): Promise<readonly CronRun[]>
  schedules(): Promise<readonly ScheduleStatus[]>
  /** What this process knows of them, without asking anybody. */
  snapshot(): readonly ScheduleStatus[]
  /** Starts no more runs. */
  stopIntake(): Promise<void>
  /** Waits for runs, then aborts them. */
  close(signal: AbortSignal): Promise<void>
}

/** SLUICE_INVALID_ARGUMENT for a name that is not there. */
export function unknownSchedule(name: string, known: Iterable<string>): SluiceError {
  const names = [...known].slice(0, 20).join(', ')
  return invalidArgument(
    'schedule',
    names === '' ? 'the name of a schedule, and there is none' : `one of ${names}`,
    name,
  )
}
