/** What the threads run. */
export const run = (data: number): number => data + 1
