/** Statements of audit records. */

/** in: $1 actors, $2 actions, $3 subjects, $4 before, $5 after, $6 meta, $7 tickets · out: ids in that order, but of tickets that are there */
export const INSERT = `
insert into sluice.audit (actor, action, subject, before, after, meta, ticket)
select actor, action, subject, before::jsonb, after::jsonb, meta::jsonb, ticket
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::uuid[])
  with ordinality as r (actor, action, subject, before, after, meta, ticket, n)
order by n on conflict (ticket) where ticket is not null do nothing returning id::text as id`

/** in: $1 tickets · out: ids of those that are there */
export const WITH_TICKETS =
  'select id::text as id, ticket::text as ticket from sluice.audit where ticket = any($1::uuid[])'

/** in: as INSERT, then $8 times, $9 hashes before, $10 hashes, $11 chain · out: ids in that order */
export const INSERT_CHAINED = `
insert into sluice.audit (actor, action, subject, before, after, meta, ticket, at, prev, hash, chain)
select actor, action, subject, before::jsonb, after::jsonb, meta::jsonb, ticket, at, decode(prev, 'hex'), decode(hash, 'hex'), $11
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::uuid[], $8::timestamptz[],
  $9::text[], $10::text[])
  with ordinality as r (actor, action, subject, before, after, meta, ticket, at, prev, hash, n)
order by n returning id::text as id`

/** in: $1 chain · effect: until its transaction ends, nobody else writes this chain */
export const LOCK_CHAIN = `select pg_advisory_xact_lock(hashtextextended('sluice.audit:' || $1::text, 0))`

/** in: $1 chain · out: now, and the newest record where there is one */
export const HEAD = `
select clock_timestamp() as now, id::text as id, encode(hash, 'hex') as hash
from (values (1)) as one left join lateral (
  select id, hash from sluice.audit where chain = $1 order by id desc limit 1) as newest on true`

export const COLUMNS = 'id::text as id, at, actor, action, subject, before, after, meta, chain'

/** in: $1 chain · out: its records, the oldest first */
export const CHAIN = `
select ${COLUMNS}, encode(prev, 'hex') as prev, encode(hash, 'hex') as hash
from sluice.audit where chain = $1 order by audit.id`

/** Lets this transaction delete, and nothing else. */
export const ALLOW_DELETE = `select set_config('sluice.audit_retention', 'on', true)`

/** in: $1 milliseconds, $2 most · effect: older records without a chain are gone */
export const DELETE_OLD = `
delete from sluice.audit where id in (
  select id from sluice.audit
  where at < clock_timestamp() - $1::float8 * interval '1 ms' and chain is null
  order by at limit $2 for update skip locked)`
