/**
 * What people will do, from a seed: the same seed makes the same plan. Some are followed, voted for and talked about far
 * more than others, as everywhere.
 */
export type Action =
  | { readonly kind: 'post'; readonly who: number; readonly words: string; readonly circle: number | null }
  | { readonly kind: 'edit' | 'unpost'; readonly pick: number; readonly words: string }
  | {
      readonly kind: 'comment'
      readonly who: number
      readonly pick: number
      readonly words: string
      readonly reply: boolean
    }
  | { readonly kind: 'uncomment'; readonly pick: number }
  | {
      readonly kind: 'vote'
      readonly who: number
      readonly pick: number
      readonly on: 'post' | 'comment'
      readonly value: 1 | -1 | 0
    }
  | { readonly kind: 'follow' | 'unfollow'; readonly who: number; readonly whom: number }
  | { readonly kind: 'join' | 'leave'; readonly who: number; readonly circle: number }
  | {
      readonly kind: 'read'
      readonly who: number
      readonly what: 'feed' | 'hot' | 'search' | 'notifications'
      readonly words: string
    }

/** Of a hundred actions. */
const SHARES: readonly (readonly [Action['kind'], number])[] = [
  ['post', 10],
  ['edit', 2],
  ['unpost', 1],
  ['comment', 22],
  ['uncomment', 2],
  ['vote', 40],
  ['follow', 5],
  ['unfollow', 2],
  ['join', 3],
  ['leave', 1],
  ['read', 12],
]

const WORDS =
  'river stone harbour bread lantern winter garden kettle bridge market violin copper morning sailor meadow thunder paper orchard silver window'.split(
    ' ',
  )

const NAMES =
  'ada ben cleo dan edda finn greta hugo ida jon kim lea mia noah olga paul rosa sam tove uma vera will xenia yann zoe'.split(
    ' ',
  )

export interface Town {
  /** Name of each person; `run` tells this town's people from those of others in the same database. */
  readonly names: readonly string[]
  readonly circles: readonly string[]
  /** Who follows whom before anything else happens. */
  readonly follows: readonly { readonly who: number; readonly whom: number }[]
}

export function planTown(users: number, run: string, random: () => number): Town {
  const follows = new Map<string, { readonly who: number; readonly whom: number }>()
  // The first is followed by everybody: the longest way that a post goes.
  for (let who = 1; who < users; who++) {
    follows.set(`${who}-0`, { who, whom: 0 })
    for (let i = 0; i < 4; i++) {
      const whom = skewed(users, random)
      if (whom !== who) follows.set(`${who}-${whom}`, { who, whom })
    }
  }
  return {
    names: Array.from({ length: users }, (_, i) => `${NAMES[i % NAMES.length]}_${run}_${i}`),
    circles: Array.from(
      { length: Math.max(2, Math.ceil(users / 50)) },
      (_, i) => `${WORDS[i % WORDS.length]} lovers ${run} ${i}`,
    ),
    follows: [...follows.values()],
  }
}

/** The next thing that somebody does. `names` are those who may be mentioned. */
export function nextAction(town: Town, random: () => number): Action {
  const who = Math.floor(random() * town.names.length)
  const whom = skewed(town.names.length, random)
  // Newest first, and the newest most of all: of a thousandth of what there is to all of it.
  const pick = random() ** 3
  const words = someWords(town, random)
  const circle = skewed(town.circles.length, random)
  const kind = choose(random)
  switch (kind) {
    case 'post':
      // Now and then the one whom everybody follows.
      return { kind, who: random() < 0.1 ? 0 : who, words, circle: random() < 0.3 ? circle : null }
    case 'edit':
    case 'unpost':
      return { kind, pick: random(), words }
    case 'comment':
      return { kind, who, pick, words, reply: random() < 0.4 }
    case 'uncomment':
      return { kind, pick: random() }
    case 'vote': {
      const luck = random()
      const on = random() < 0.8 ? 'post' : 'comment'
      return { kind, who, pick, on, value: luck < 0.75 ? 1 : luck < 0.9 ? -1 : 0 }
    }
    case 'follow':
    case 'unfollow':
      return { kind, who, whom }
    case 'join':
    case 'leave':
      return { kind, who, circle }
    case 'read':
      return {
        kind,
        who,
        what:
          (['feed', 'feed', 'hot', 'search', 'notifications'] as const)[Math.floor(random() * 5)] ?? 'feed',
        words: WORDS[Math.floor(random() * WORDS.length)] ?? '',
      }
  }
}

function choose(random: () => number): Action['kind'] {
  let luck = random() * SHARES.reduce((sum, [, share]) => sum + share, 0)
  for (const [kind, share] of SHARES) {
    luck -= share
    if (luck < 0) return kind
  }
  return 'read'
}

/** 0 to `count` - 1, small ones much more often. */
function skewed(count: number, random: () => number): number {
  return Math.floor(count * random() ** 3)
}

function someWords(town: Town, random: () => number): string {
  const words = Array.from(
    { length: 4 + Math.floor(random() * 12) },
    () => WORDS[Math.floor(random() * WORDS.length)],
  )
  if (random() < 0.2) words.push(`@${town.names[skewed(town.names.length, random)]}`, 'said so')
  return words.join(' ')
}
