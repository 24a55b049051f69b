/** Posts: the list of them, and what can be done with each. */
import { ask, whoAmI } from './ask.js'
import { element, say, tried, when, written } from './element.js'
import { thread } from './thread.js'

const list = document.querySelector('#posts')
const more = document.querySelector('#more')
const SOURCES = { feed: '/feed', hot: '/hot' }

/** What is shown: `feed`, `hot`, or `{ words }` that are searched for. */
let source = 'feed'
let next = null

export async function show(what) {
  source = what
  const page = await ask('GET', address())
  list.replaceChildren(...page.items.map(card))
  if (page.items.length === 0) list.append(element('p', { class: 'quiet' }, emptyText()))
  past(page)
}

more.addEventListener(
  'click',
  () =>
    void tried(async () => {
      const page = await ask('GET', `${address()}?before=${next}`)
      const cards = page.items.map(card)
      list.append(...cards)
      past(page)
      cards[0]?.focus()
    }),
)

function past(page) {
  next = page.next
  more.hidden = next === null
}

function address() {
  return SOURCES[source] ?? `/search?q=${encodeURIComponent(source.words)}`
}

function emptyText() {
  if (source === 'feed') return 'Nothing yet. Follow somebody, or write something.'
  return source === 'hot' ? 'Nothing yet.' : 'Nothing was found.'
}

function card(post) {
  const own = whoAmI()?.id === post.authorId
  const replies = element('div')
  const open = element(
    'button',
    { 'aria-expanded': 'false', onclick: () => toggle() },
    comments(post.comments),
  )
  const toggle = () =>
    tried(async () => {
      const isOpen = open.getAttribute('aria-expanded') === 'true'
      replies.replaceChildren(
        ...(isOpen ? [] : [await thread(post.id, (count) => open.replaceChildren(comments(count)))]),
      )
      open.setAttribute('aria-expanded', String(!isOpen))
    })
  const made = element(
    'article',
    { tabindex: '-1', 'aria-label': `Post by ${post.author}` },
    element(
      'div',
      { class: 'by' },
      element('strong', {}, post.author),
      when(post.at),
      post.edited ? element('span', {}, 'edited') : null,
      post.circle ? element('span', {}, `in ${post.circle}`) : null,
    ),
    written(post.body),
    picture(post),
    element(
      'div',
      { class: 'acts' },
      ...votes(`/posts/${post.id}/vote`, post.vote, post.ups - post.downs),
      open,
      own ? remove(post, () => made.remove()) : null,
    ),
    replies,
  )
  return made
}

function comments(count) {
  return count === 1 ? '1 comment' : `${count} comments`
}

function picture({ media, author }) {
  if (media === null) return null
  const { id, width, height, color } = media
  const image = element('img', {
    src: `/media/${id}/bytes`,
    width,
    height,
    alt: `Picture by ${author}`,
    loading: 'lazy',
  })
  image.style.backgroundColor = color
  return image
}

function remove(post, done) {
  const click = () =>
    tried(async () => {
      await ask('DELETE', `/posts/${post.id}`)
      done()
      say('The post is deleted.')
      list.focus()
    })
  return element('button', { class: 'plain', onclick: click }, 'Delete')
}

/** For and against: pressed again, the vote is taken back. What it makes of the score is shown at once. */
export function votes(path, mine, score) {
  let own = mine
  let shown = score
  const label = element('span', { class: 'score', 'aria-label': `Score ${shown}` }, String(shown))
  const button = (value, sign, name) =>
    element(
      'button',
      {
        class: value < 0 ? 'against' : '',
        'aria-label': name,
        onclick: () =>
          tried(async () => {
            const to = own === value ? 0 : value
            await ask('PUT', path, { value: to })
            shown += to - own
            own = to
            draw()
          }),
      },
      sign,
    )
  const up = button(1, '▲', 'Vote for it')
  const down = button(-1, '▼', 'Vote against it')
  const draw = () => {
    up.setAttribute('aria-pressed', String(own === 1))
    down.setAttribute('aria-pressed', String(own === -1))
    label.textContent = String(shown)
    label.setAttribute('aria-label', `Score ${shown}`)
  }
  draw()
  return [up, label, down]
}
