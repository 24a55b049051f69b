/**
 * What must be, as the database says: each view of what follows from what people did, computed anew from what they did.
 * None of the subscribers' code is used here, nor any of their statements.
 */
export interface Truth {
  readonly name: string
  /** Rows that there must be. */
  readonly wanted: string
  /** Rows that there are, with the same columns. */
  readonly found: string
}

const ALIVE = `alive as (select * from posts where deleted_at is null),
  said as (select c.* from comments c join alive on alive.id = c.post_id where c.deleted_at is null)`

const MENTION = String.raw`'(?<![\w@.])@([a-z][a-z0-9_]{1,29})(?![\w@])'`

export const TRUTHS: readonly Truth[] = [
  {
    name: 'counts and hotness of posts',
    wanted: `
      select p.id, (select count(*) from comments c where c.post_id = p.id and c.deleted_at is null) as comments,
        v.ups, v.downs,
        round((sign(v.ups - v.downs) * log10(greatest(abs(v.ups - v.downs), 1)::numeric)
          + (extract(epoch from p.created_at) - 1134028003) / 45000.0)::numeric, 6) as hotness
      from posts p cross join lateral (
        select count(*) filter (where value = 1) as ups, count(*) filter (where value = -1) as downs
        from votes where target = 'post' and target_id = p.id) v`,
    found: 'select post_id, comments, ups, downs, round(hotness::numeric, 6) from post_tallies',
  },
  {
    name: 'counts of comments',
    wanted: `
      select c.id, (select count(*) from comments r where r.parent_id = c.id and r.deleted_at is null),
        (select count(*) from votes where target = 'comment' and target_id = c.id and value = 1),
        (select count(*) from votes where target = 'comment' and target_id = c.id and value = -1)
      from comments c`,
    found: 'select comment_id, replies, ups, downs from comment_tallies',
  },
  {
    name: 'counts of people',
    wanted: `
      select u.id, (select count(*) from follows where followee_id = u.id),
        (select count(*) from follows where follower_id = u.id),
        (select count(*) from posts where author_id = u.id and deleted_at is null)
      from users u`,
    found: 'select user_id, followers, following, posts from user_tallies',
  },
  {
    name: 'members of circles',
    wanted: 'select circle_id, count(*) from stays where until is null group by 1',
    found: 'select circle_id, members from circle_tallies where members <> 0',
  },
  {
    name: 'feeds',
    wanted: `
      select follower_id, p.id from follows join posts p on p.author_id = followee_id where deleted_at is null
      union select author_id, id from posts where deleted_at is null`,
    found: 'select user_id, post_id from feed',
  },
  {
    name: 'search index',
    wanted: `select id, to_tsvector('english', body)::text from posts where deleted_at is null`,
    found: 'select post_id, document::text from search',
  },
  {
    name: 'notifications of posts',
    wanted: `
      with ${ALIVE},
      mentioned as (
        select distinct u.id as user_id, p.author_id, p.id
        from alive p cross join lateral regexp_matches(p.body, ${MENTION}, 'g') as m(names) join users u on u.name = m.names[1]
        where u.id <> p.author_id and u.created_at <= coalesce(p.updated_at, p.created_at))
      select user_id, 'mention', author_id, id, null::bigint from mentioned
      union
      select s.user_id, 'circle', p.author_id, p.id, null
      from alive p join stays s on s.circle_id = p.circle_id and p.number > s.since and p.number <= coalesce(s.until, p.number)
      where s.user_id <> p.author_id and (s.user_id, p.id) not in (select user_id, id from mentioned)`,
    found: `
      select user_id, kind, actor_id, post_id, comment_id from notifications
      where kind = 'circle' or (kind = 'mention' and comment_id is null)`,
  },
  {
    name: 'notifications of comments',
    wanted: `
      with ${ALIVE},
      told as (
        select parent.author_id as user_id, 1 as rank, said.id from said join comments parent on parent.id = said.parent_id
        union all select alive.author_id, 2, said.id from said join alive on alive.id = said.post_id
        union all
        select u.id, 3, said.id
        from said cross join lateral regexp_matches(said.body, ${MENTION}, 'g') as m(names) join users u on u.name = m.names[1]
        where u.created_at <= said.created_at)
      select told.user_id, (array['reply', 'comment', 'mention'])[min(rank)], said.author_id, said.post_id, said.id
      from told join said using (id) where told.user_id <> said.author_id
      group by told.user_id, said.author_id, said.post_id, said.id`,
    found: `
      select user_id, kind, actor_id, post_id, comment_id from notifications
      where kind in ('reply', 'comment') or (kind = 'mention' and comment_id is not null)`,
  },
  {
    name: 'notifications of votes',
    wanted: `
      with ${ALIVE}
      select alive.author_id, v.voter_id, alive.id, null::bigint
      from votes v join alive on v.target = 'post' and v.target_id = alive.id where v.voter_id <> alive.author_id
      union all
      select said.author_id, v.voter_id, said.post_id, said.id
      from votes v join said on v.target = 'comment' and v.target_id = said.id where v.voter_id <> said.author_id`,
    found: `select user_id, actor_id, post_id, comment_id from notifications where kind = 'vote'`,
  },
  {
    name: 'notifications of people',
    wanted: `
      select followee_id, 'follow', follower_id from follows
      union all select id, 'welcome', id from users`,
    found: `select user_id, kind, actor_id from notifications where kind in ('follow', 'welcome')`,
  },
]
