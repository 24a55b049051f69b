/** Tables of a chaos run. */

/** Rows that handlers write in the transaction they are given, without a unique index: doubles must show. */
export const EFFECTS_TABLE = `create table if not exists chaos_effects (id text not null, by text not null)`
/** Rows that clients write in the transaction they hand in with. */
export const ORDERS_TABLE = `create table if not exists chaos_orders (id text not null)`
/** Processes to which events travel. */
export const BRIDGED_TABLE = `create table if not exists chaos_bridged (pid int not null)`
/** What a listener heard of, and when it happened; without a unique index: doubles must show. */
export const HEARD_TABLE = `create table if not exists chaos_heard (id text not null, happened timestamptz not null);
create index if not exists chaos_heard_happened on chaos_heard (happened)`
