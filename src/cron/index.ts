export { cron, type CronOptions } from './cron.ts'
export type {
  Cron,
  CronContext,
  CronHandler,
  CronRun,
  HandleOptions,
  Missed,
  Overlap,
  RunNowOptions,
  RunState,
  ScheduleOptions,
  ScheduleStatus,
  StartedRun,
} from './api.ts'
