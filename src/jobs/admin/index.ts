/** What is asked about jobs, and done to them, beside running them. */
export { cancelGroup, cancelJob } from './cancel.ts'
export { dropDead, getDead, listDead, redriveDead } from './dead-letters.ts'
export { findJob } from './find.ts'
export { listJobs } from './list.ts'
export { groupStats, pauseQueue, resumeQueue } from './queues.ts'
