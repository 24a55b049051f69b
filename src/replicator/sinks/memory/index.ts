/** Keeps entities in the memory of the process: for tests and trial. */
export { memorySink, type MemorySinkOptions } from './sink.ts'
export { MemoryStore } from './store.ts'
