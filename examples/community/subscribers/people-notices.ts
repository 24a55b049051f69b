/** Who registers is welcomed; who is followed is told, for as long as it lasts. */
import { service, type Background, type WorkerPool } from 'sluice'
import type { Events } from 'sluice/events'
import type { Postgres } from 'sluice/postgres'
import type { Delays } from '../delays.ts'
import { UserFollowed, UserRegistered, UserUnfollowed } from '../events.ts'
import { tellLive } from '../live.ts'
import { ids, of, read } from './read.ts'

interface Needs {
  readonly background: Background
  readonly db: Postgres
  readonly events: Events
  readonly pool: WorkerPool
}

export const peopleNotices = (delays: Delays) =>
  service('people-notices', ({ background, db, events, pool }: Needs) => {
    const types = [UserRegistered, UserFollowed, UserUnfollowed]
    read({ events, pool, delays }, types, 'people-notices', async (happened, tx) => {
      const registered = of(UserRegistered, happened).map(({ userId }) => userId)
      const follows = [...of(UserFollowed, happened), ...of(UserUnfollowed, happened)]
      const pairs = [follows.map(({ followerId }) => followerId), follows.map(({ followeeId }) => followeeId)]
      await tx.execute(
        `delete from notifications n using unnest($1::bigint[], $2::bigint[]) as pair(follower, followee)
         where n.kind = 'follow' and n.user_id = followee and n.actor_id = follower
           and not exists (select from follows where follower_id = follower and followee_id = followee)`,
        pairs,
      )
      const added = await tx.query<{ id: string }>(
        `with standing as (
           select follower_id, followee_id
           from unnest($1::bigint[], $2::bigint[]) as pair(follower, followee)
             join follows f on f.follower_id = follower and f.followee_id = followee for share of f)
         insert into notifications (user_id, kind, actor_id)
         select followee_id, 'follow', follower_id from standing
         union all select id, 'welcome', id from unnest($3::bigint[]) as u(id)
         on conflict do nothing returning user_id as id`,
        [...pairs, registered],
      )
      tellLive(tx, { db, background }, ids(added.map(({ id }) => id)))
    })
  })
