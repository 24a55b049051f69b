/** Tables of a chaos run. */

/** Rows that handlers write in the transaction they are given, without a unique index: doubles must show. */
export const EFFECTS_TABLE = `create table if not exists chaos_effects (id text not null, by text not null)`
/** Rows that clients write in the transaction they hand in with. */
export const ORDERS_TABLE = `create table if not exists chaos_orders (id text not null)`
/** Processes to which events travel. */
export const BRIDGED_TABLE = `create table if not exists chaos_bridged (pid int not null)`
