/** What somebody is told, as it happens: by server-sent events, which come back by themselves when they were cut off. */
import { ask, whoAmI } from './ask.js'
import { element, tried, when } from './element.js'

const list = document.querySelector('#notices')
const bell = document.querySelector('#bell')
const read = document.querySelector('#read')
const MOST = 30

const TEXTS = {
  welcome: () => 'Welcome!',
  follow: ({ actor }) => `${actor} follows you`,
  vote: ({ actor, commentId }) => `${actor} voted on your ${commentId ? 'comment' : 'post'}`,
  comment: ({ actor }) => `${actor} commented on your post`,
  reply: ({ actor }) => `${actor} answered you`,
  mention: ({ actor }) => `${actor} mentioned you`,
  circle: ({ actor }) => `${actor} posted in your circle`,
}

/** Newest first, by id. */
let known = new Map()
let source

/** `onFeed` is called when there is something new to read. */
export function follow(onFeed) {
  source?.close()
  known = new Map()
  source = new EventSource(`/live?user=${whoAmI().id}`)
  source.addEventListener('notices', ({ data }) => {
    const fresh = JSON.parse(data)
    const isFirst = known.size === 0
    for (const notice of fresh) known.set(notice.id, notice)
    draw(isFirst ? [] : fresh.map(({ id }) => id))
  })
  source.addEventListener('feed', onFeed)
}

function draw(fresh) {
  const newest = [...known.values()].toSorted((a, b) => Number(b.id) - Number(a.id)).slice(0, MOST)
  known = new Map(newest.map((notice) => [notice.id, notice]))
  list.replaceChildren(
    ...newest.map((notice) => {
      const text = (TEXTS[notice.kind] ?? (() => notice.kind))(notice)
      const names = [notice.read ? '' : 'unread', fresh.includes(notice.id) ? 'fresh' : '']
      return element('li', { class: names.join(' ').trim() }, element('span', {}, text), when(notice.at))
    }),
  )
  const count = newest.filter((notice) => !notice.read).length
  bell.hidden = read.hidden = count === 0
  bell.querySelector('.badge').textContent = String(count)
  bell.setAttribute('aria-label', `${count} unread notifications`)
  document.title = count === 0 ? 'community' : `(${count}) community`
}

read.addEventListener(
  'click',
  () =>
    void tried(async () => {
      const [newest] = [...known.keys()].toSorted((a, b) => Number(b) - Number(a))
      await ask('POST', '/notifications/read', { upTo: newest })
      for (const notice of known.values()) notice.read = true
      draw([])
    }),
)
