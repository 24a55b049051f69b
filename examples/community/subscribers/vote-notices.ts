/** The author of a post or a comment is told of each vote on it that stands, unless it is their own. */
import { service, type Background, type WorkerPool } from 'sluice'
import type { Events } from 'sluice/events'
import type { Postgres, Transaction } from 'sluice/postgres'
import type { Delays } from '../delays.ts'
import { VoteCreated, VoteDeleted, VoteUpdated } from '../events.ts'
import { tellLive } from '../live.ts'
import { ids, of, read } from './read.ts'

interface Needs {
  readonly background: Background
  readonly db: Postgres
  readonly events: Events
  readonly pool: WorkerPool
}

interface Ballot {
  readonly target: 'post' | 'comment'
  readonly targetId: string
  readonly voterId: string
}

export const voteNotices = (delays: Delays) =>
  service('vote-notices', ({ background, db, events, pool }: Needs) => {
    const types = [VoteCreated, VoteDeleted]
    // A vote that turned is told of already: by the same notice, which names no direction.
    read({ events, pool, delays }, [...types, VoteUpdated], 'vote-notices', async (happened, tx) => {
      const ballots: Ballot[] = types.flatMap((type) => of(type, happened))
      const users: string[] = []
      for (const target of ['post', 'comment'] as const) {
        const those = ballots.filter((ballot) => ballot.target === target)
        if (those.length > 0) users.push(...(await noticesOf(tx, target, those)))
      }
      tellLive(tx, { db, background }, ids(users))
    })
  })

/**
 * Made from the votes as they are now. A vote that stands cannot be taken back before this is committed, nor what it is
 * on be deleted.
 */
async function noticesOf(
  tx: Transaction,
  target: Ballot['target'],
  ballots: readonly Ballot[],
): Promise<string[]> {
  const pairs = [ballots.map(({ targetId }) => targetId), ballots.map(({ voterId }) => voterId)]
  const isPost = target === 'post'
  await tx.execute(
    `delete from notifications n using unnest($1::bigint[], $2::bigint[]) as pair(target_id, voter_id)
     where n.kind = 'vote' and n.actor_id = pair.voter_id
       and ${isPost ? 'n.post_id = pair.target_id and n.comment_id is null' : 'n.comment_id = pair.target_id'}
       and not exists (select from votes v
         where v.target = '${target}' and v.target_id = pair.target_id and v.voter_id = pair.voter_id)`,
    pairs,
  )
  const subjects = isPost
    ? 'posts p on p.id = v.target_id and p.author_id <> v.voter_id'
    : 'comments c on c.id = v.target_id and c.author_id <> v.voter_id and c.deleted_at is null join posts p on p.id = c.post_id'
  const author = isPost ? 'p.author_id' : 'c.author_id'
  const added = await tx.query<{ id: string }>(
    `with standing as (
       select ${author} as author_id, v.voter_id, p.id as post_id, ${isPost ? 'null::bigint' : 'c.id'} as comment_id
       from unnest($1::bigint[], $2::bigint[]) as pair(target_id, voter_id)
         join votes v on v.target = '${target}' and v.target_id = pair.target_id and v.voter_id = pair.voter_id
         join ${subjects}
       where p.deleted_at is null for share of v, p ${isPost ? '' : ', c'})
     insert into notifications (user_id, kind, actor_id, post_id, comment_id)
     select author_id, 'vote', voter_id, post_id, comment_id from standing
     on conflict do nothing returning user_id as id`,
    pairs,
  )
  return added.map(({ id }) => id)
}
