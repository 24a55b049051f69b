/** What travels between the component and its backend. */

/** Text as UTF-8, bytes as they are. */
export type Argument = string | Buffer
export type Reply = string | number | null | Buffer | readonly Reply[]
