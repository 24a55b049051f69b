/**
 * The schema. What people did is in the first step; what follows from that, and could be made again, in the second: only
 * subscribers write there.
 */
import type { Migration } from 'sluice/postgres'
import { HOTNESS_FUNCTION } from './hotness.ts'

export const migrations: readonly Migration[] = [
  {
    name: '001 what people did',
    up: `
      create table users (
        id bigint generated always as identity primary key,
        name text not null unique check (name ~ '^[a-z][a-z0-9_]{1,29}$'),
        created_at timestamptz not null default now()
      );
      create table follows (
        follower_id bigint not null references users,
        followee_id bigint not null references users,
        created_at timestamptz not null default now(),
        primary key (followee_id, follower_id),
        check (follower_id <> followee_id)
      );
      create index follows_of_follower on follows (follower_id);
      create table circles (
        id bigint generated always as identity primary key,
        name text not null unique,
        owner_id bigint not null references users,
        -- Each post of a circle has a number, so that who was a member when it was posted is no question of clocks.
        posts int not null default 0
      );
      create table stays (
        id bigint generated always as identity primary key,
        circle_id bigint not null references circles,
        user_id bigint not null references users,
        -- A member while the posts numbered since + 1 to until were made; until now where that is null.
        since int not null,
        until int
      );
      create unique index members on stays (circle_id, user_id) where until is null;
      create table media (
        id uuid primary key,
        owner_id bigint not null references users,
        content_type text not null,
        bytes bigint not null,
        state text not null default 'awaited' check (state in ('awaited', 'uploaded', 'ready', 'refused')),
        width int,
        height int,
        color text,
        created_at timestamptz not null default now()
      );
      create table posts (
        id bigint generated always as identity primary key,
        author_id bigint not null references users,
        circle_id bigint references circles,
        number int,
        body text not null,
        media_id uuid references media,
        created_at timestamptz not null default now(),
        updated_at timestamptz,
        deleted_at timestamptz
      );
      create index posts_of_author on posts (author_id, id desc) where deleted_at is null;
      create index posts_of_circle on posts (circle_id, id desc) where deleted_at is null;
      create table comments (
        id bigint generated always as identity primary key,
        post_id bigint not null references posts,
        parent_id bigint references comments,
        author_id bigint not null references users,
        body text not null,
        created_at timestamptz not null default now(),
        deleted_at timestamptz
      );
      create index comments_of_post on comments (post_id, id);
      create table votes (
        target text not null check (target in ('post', 'comment')),
        target_id bigint not null,
        voter_id bigint not null references users,
        value smallint not null check (value in (1, -1)),
        at timestamptz not null default now(),
        primary key (target, target_id, voter_id)
      );
    `,
  },
  {
    name: '002 what follows from it',
    up: `
      ${HOTNESS_FUNCTION}
      create table post_tallies (
        post_id bigint primary key,
        comments int not null default 0,
        ups int not null default 0,
        downs int not null default 0,
        hotness double precision not null
      );
      create index hottest on post_tallies (hotness desc);
      create table comment_tallies (
        comment_id bigint primary key,
        replies int not null default 0,
        ups int not null default 0,
        downs int not null default 0
      );
      create table user_tallies (
        user_id bigint primary key,
        followers int not null default 0,
        following int not null default 0,
        posts int not null default 0
      );
      create table circle_tallies (circle_id bigint primary key, members int not null default 0);
      create table feed (
        user_id bigint not null,
        post_id bigint not null,
        author_id bigint not null,
        primary key (user_id, post_id)
      );
      create index feed_of_post on feed (post_id);
      create index feed_of_author on feed (user_id, author_id);
      create table search (post_id bigint primary key, document tsvector not null);
      create index search_words on search using gin (document);
      create table notifications (
        id bigint generated always as identity primary key,
        user_id bigint not null,
        kind text not null,
        actor_id bigint not null,
        post_id bigint,
        comment_id bigint,
        at timestamptz not null default now(),
        read_at timestamptz,
        unique nulls not distinct (user_id, kind, actor_id, post_id, comment_id)
      );
      create index notifications_of_user on notifications (user_id, id desc);
      create index notifications_of_post on notifications (post_id);
    `,
  },
]
