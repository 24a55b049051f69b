/** The people of the town at their keyboards: each action as the requests that it takes, on what is there by then. */
import type { Action, Town } from './plan.ts'

/** Asks one of the processes. */
export type Ask = (method: string, path: string, who: string | null, body?: object) => Promise<Answer>

export interface Answer {
  /** 0: the connection broke, as when the process was killed. */
  readonly status: number
  readonly body: unknown
}

interface Thing {
  readonly id: string
  readonly authorId: string
  readonly postId: string
}

/** Newest of what was made, which later actions are about. */
const REMEMBERED = 5_000

export class People {
  readonly #ask: Ask
  readonly #users: string[] = []
  readonly #circles: string[] = []
  readonly #posts: Thing[] = []
  readonly #comments: Thing[] = []

  constructor(ask: Ask) {
    this.#ask = ask
  }

  get population(): number {
    return this.#users.length
  }

  async register(name: string): Promise<void> {
    const { status, body } = await this.#ask('POST', '/users', null, { name })
    if (status === 201) this.#users.push(idOf(body))
  }

  async found(name: string, index: number): Promise<void> {
    const { status, body } = await this.#ask('POST', '/circles', this.#user(index), { name })
    if (status === 201) this.#circles.push(idOf(body))
  }

  follow({ who, whom }: Town['follows'][number]): Promise<Answer> {
    return this.#ask('PUT', `/users/${this.#user(whom)}/follow`, this.#user(who))
  }

  /** Undefined where there is nothing yet that it could be about. */
  async act(action: Action): Promise<Answer | undefined> {
    switch (action.kind) {
      case 'post':
        return this.#post(this.#user(action.who), action.words, action.circle)
      case 'edit': {
        const post = picked(this.#posts, action.pick)
        return post && this.#ask('PATCH', `/posts/${post.id}`, post.authorId, { body: action.words })
      }
      case 'unpost': {
        const post = picked(this.#posts, action.pick)
        return post && this.#ask('DELETE', `/posts/${post.id}`, post.authorId)
      }
      case 'comment':
        return this.#comment(this.#user(action.who), action)
      case 'uncomment': {
        const comment = picked(this.#comments, action.pick)
        return comment && this.#ask('DELETE', `/comments/${comment.id}`, comment.authorId)
      }
      case 'vote': {
        const thing = picked(action.on === 'post' ? this.#posts : this.#comments, action.pick)
        const path = `/${action.on}s/${thing?.id}/vote`
        return thing && this.#ask('PUT', path, this.#user(action.who), { value: action.value })
      }
      case 'follow':
      case 'unfollow': {
        const [who, whom] = [this.#user(action.who), this.#user(action.whom)]
        if (who === whom) return undefined
        return this.#ask(action.kind === 'follow' ? 'PUT' : 'DELETE', `/users/${whom}/follow`, who)
      }
      case 'join':
      case 'leave': {
        const circle = this.#circles[action.circle % this.#circles.length]
        const path = `/circles/${circle}/membership`
        return circle === undefined
          ? undefined
          : this.#ask(action.kind === 'join' ? 'PUT' : 'DELETE', path, this.#user(action.who))
      }
      case 'read': {
        const path = action.what === 'search' ? `/search?q=${action.words}` : `/${action.what}`
        return this.#ask('GET', path, this.#user(action.who))
      }
    }
  }

  async #post(who: string, words: string, circle: number | null): Promise<Answer> {
    const circleId = circle === null ? undefined : this.#circles[circle % this.#circles.length]
    if (circleId !== undefined) await this.#ask('PUT', `/circles/${circleId}/membership`, who)
    const answer = await this.#ask('POST', '/posts', who, { body: words, ...(circleId && { circleId }) })
    if (answer.status === 201)
      remember(this.#posts, { id: idOf(answer.body), authorId: who, postId: idOf(answer.body) })
    return answer
  }

  async #comment(
    who: string,
    { pick, words, reply }: Extract<Action, { kind: 'comment' }>,
  ): Promise<Answer | undefined> {
    const parent = reply ? picked(this.#comments, pick) : undefined
    const postId = parent?.postId ?? picked(this.#posts, pick)?.id
    if (postId === undefined) return undefined
    const body = { body: words, ...(parent && { parentId: parent.id }) }
    const answer = await this.#ask('POST', `/posts/${postId}/comments`, who, body)
    if (answer.status === 201) remember(this.#comments, { id: idOf(answer.body), authorId: who, postId })
    return answer
  }

  #user(index: number): string {
    return this.#users[index % this.#users.length] ?? '0'
  }
}

/** 0 is the newest, 1 the oldest. */
function picked(things: readonly Thing[], pick: number): Thing | undefined {
  return things[things.length - 1 - Math.floor(pick * things.length)]
}

function remember(things: Thing[], thing: Thing): void {
  if (things.push(thing) > REMEMBERED) things.splice(0, REMEMBERED / 10)
}

function idOf(body: unknown): string {
  return String((body as { readonly id: string }).id)
}
