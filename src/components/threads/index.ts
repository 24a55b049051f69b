export { threads, type ThreadsOptions } from './threads.ts'
export { withTransfer, type TransferList } from './transfer.ts'
export type { TaskOptions, Threads } from './api.ts'
