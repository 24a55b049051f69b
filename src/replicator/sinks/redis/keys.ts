/**
 * The names of everything that is kept for one lane.
 *
 * All of them share the hash tag `{name:lane}`, so that a lane lies in one slot and a batch is one transaction there; the
 * version of the schema follows, so that two versions live beside each other during a deploy.
 *
 *     {replica:company}:v1:e:42                  the entity, as JSON text and nothing else
 *     {replica:company}:v1:k:domain:acme.example the id under another name
 *     {replica:company}:v1:state                 hash: fencing token, owner, cursor, loads, readiness
 *     {replica:company}:v1:lease                 owner, while alive
 *     {replica:company}:v1:meta                  hash: by id its version, `+` or `-` (deleted), load, other names
 *     {replica:company}:v1:gone                  sorted set: ids that were deleted or run out, by when they may be forgotten
 *     {replica:company}:v1:dead, …:dead-order    dead letters, and their order in time
 */

export interface ReplicaNaming {
  /** Name of the replica. @default 'replica' */
  readonly name?: string
  /** Version of the schema of the entities: a new one starts with an empty cache of its own. @default 1 */
  readonly schema?: number | string
}

/** Where readers find what the replicator keeps. Put the key prefix of the redis component before it, as that does. */
export interface ReplicaKeys {
  /** Holds the entity as JSON text; absent where there is none. */
  entity(lane: string, id: string): string
  /** Holds the id of the entity with this other name, such as `domain:acme.example`. */
  lookup(lane: string, otherName: string): string
  /** What all keys of a lane begin with. */
  base(lane: string): string
}

/** Names of the keys of a replica, for readers: `redis.getJson(keys.entity('company', '42'))`. */
export function replicaKeys({ name = 'replica', schema = 1 }: ReplicaNaming = {}): ReplicaKeys {
  const base = (lane: string): string => `{${name}:${lane}}:v${schema}:`
  return {
    base,
    entity: (lane, id) => `${base(lane)}e:${id}`,
    lookup: (lane, otherName) => `${base(lane)}k:${otherName}`,
  }
}
