/** The schema, one forward step after another. A step that was released is never edited; add the next one. */
import type { Migration } from 'sluice/postgres'

export const migrations: readonly Migration[] = [
  {
    name: '001 users and todos',
    up: `
      create table users (
        id bigint generated always as identity primary key,
        email text not null unique,
        name text not null,
        bio text not null default '',
        created_at timestamptz not null default now()
      );
      create table todos (
        id bigint generated always as identity primary key,
        user_id bigint not null references users on delete cascade,
        title text not null,
        done_at timestamptz,
        created_at timestamptz not null default now()
      );
      create index todos_of_user on todos (user_id, id desc);
      create index open_todos_of_user on todos (user_id, id desc) where done_at is null;
    `,
  },
  {
    name: '002 analytics and webhooks',
    up: `
      create table analytics (day date not null, name text not null, times bigint not null, primary key (day, name));
      create table webhooks (
        id bigint generated always as identity primary key,
        user_id bigint not null references users on delete cascade,
        url text not null,
        secret text not null
      );
      create index webhooks_of_user on webhooks (user_id);
    `,
  },
]
