/**
 * Votes. One person has one vote on a post or a comment; to put the same vote again changes nothing and tells of nothing,
 * so a client whose answer was lost asks again.
 */
import { service, type Http } from 'sluice'
import type { Events, PublishOptions } from 'sluice/events'
import type { Postgres, Transaction } from 'sluice/postgres'
import { z } from 'zod'
import { CommentVoted, ofPost, PostVoted, VoteCreated, VoteDeleted, VoteUpdated } from '../events.ts'
import { NotFound } from '../problems.ts'
import { byId, whoAsks } from '../shapes.ts'

/** 0 is no vote. */
type Value = 1 | -1 | 0
type Target = 'post' | 'comment'

const vote = z.object({ value: z.union([z.literal(1), z.literal(-1), z.literal(0)]) })

interface Needs {
  readonly db: Postgres
  readonly events: Events
  readonly http: Http
}

export const votes = service('votes', ({ db, events, http }: Needs) => {
  for (const [path, target] of [
    ['/posts/:id/vote', 'post'],
    ['/comments/:id/vote', 'comment'],
  ] as const) {
    http.put(path, { schema: { params: byId, body: vote } }, async (request) => {
      const voterId = whoAsks(request)
      const { value } = request.body
      return db.transaction((tx) => cast(tx, events, { target, id: request.params.id, voterId, value }))
    })
  }
})

interface Ballot {
  readonly target: Target
  readonly id: string
  readonly voterId: string
  readonly value: Value
}

/** What a vote is about, as its events tell it. */
interface Subject {
  readonly postId: string
  readonly authorId: string
  readonly parentId: string | null
}

async function cast(tx: Transaction, events: Events, ballot: Ballot): Promise<{ readonly changed: boolean }> {
  const { target, id, voterId, value: to } = ballot
  const subject = await lockSubject(tx, target, id)
  const from = await exchange(tx, ballot)
  if (from === to) return { changed: false }

  const { postId, authorId, parentId } = subject
  const options = { tx, key: ofPost(postId) }
  await Promise.all([
    tellOfVote(events, { target, targetId: id, postId, voterId }, from, to, options),
    target === 'post'
      ? events.publish(PostVoted, { postId, authorId, voterId, from, to }, options)
      : events.publish(
          CommentVoted,
          { commentId: id, postId, parentId, authorId, voterId, from, to },
          options,
        ),
  ])
  return { changed: true }
}

interface About {
  readonly target: Target
  readonly targetId: string
  readonly postId: string
  readonly voterId: string
}

async function tellOfVote(
  events: Events,
  about: About,
  from: Value,
  to: Value,
  options: PublishOptions,
): Promise<void> {
  if (from === 0 && to !== 0) await events.publish(VoteCreated, { ...about, value: to }, options)
  else if (from !== 0 && to === 0) await events.publish(VoteDeleted, { ...about, value: from }, options)
  else if (from !== 0 && to !== 0)
    await events.publish(VoteUpdated, { ...about, value: to, before: from }, options)
}

/** What is voted on; it cannot be deleted before this transaction ends. */
async function lockSubject(tx: Transaction, target: Target, id: string): Promise<Subject> {
  const subject = await tx.queryOne<Subject>(
    target === 'post'
      ? `select id as "postId", author_id as "authorId", null as "parentId" from posts
         where id = $1 and deleted_at is null for share`
      : `select c.post_id as "postId", c.author_id as "authorId", c.parent_id as "parentId"
         from comments c join posts p on p.id = c.post_id
         where c.id = $1 and c.deleted_at is null and p.deleted_at is null for share`,
    [id],
  )
  if (subject === undefined) throw new NotFound(target, id)
  return subject
}

/** Puts the vote in the place of the one before, and answers what that was. The row is ours until the transaction ends. */
async function exchange(tx: Transaction, { target, id, voterId, value }: Ballot): Promise<Value> {
  const key = [target, id, voterId]
  if (value !== 0) {
    const made = await tx.insert(
      `insert into votes (target, target_id, voter_id, value) select $1, $2, id, $4 from users where id = $3
       on conflict do nothing`,
      [...key, value],
    )
    if (made === 1) return 0
  }
  const before = await tx.queryOne<{ value: Value }>(
    'select value from votes where target = $1 and target_id = $2 and voter_id = $3 for update',
    key,
  )
  if (before === undefined) {
    // Nothing to take back; or it was taken back at this very moment, or nobody has this id.
    if (value === 0) return 0
    const known = await tx.queryOne('select from users where id = $1', [voterId])
    if (known === undefined) throw new NotFound('user', voterId)
    return exchange(tx, { target, id, voterId, value })
  }
  if (before.value === value) return value
  await (value === 0
    ? tx.delete('delete from votes where target = $1 and target_id = $2 and voter_id = $3', key)
    : tx.update('update votes set value = $4 where target = $1 and target_id = $2 and voter_id = $3', [
        ...key,
        value,
      ]))
  return before.value
}
