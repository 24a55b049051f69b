/** Puts the page together: who is here, what is shown, what comes in. */
import { ask, remember, whoAmI } from './ask.js'
import { showCompose } from './compose.js'
import { element, say, tried } from './element.js'
import { follow } from './notices.js'
import { showPeople } from './people.js'
import { show } from './posts.js'

const tabs = { feed: document.querySelector('#show-feed'), hot: document.querySelector('#show-hot') }
const fresh = document.querySelector('#fresh')
const register = document.querySelector('#register')
const search = document.querySelector('#search')

/** `feed`, `hot`, or what is searched for. */
let shown = 'feed'

function choose(what) {
  shown = what
  fresh.hidden = true
  for (const [name, tab] of Object.entries(tabs)) tab.setAttribute('aria-pressed', String(name === what))
  return tried(() => show(what))
}

for (const name of Object.keys(tabs)) tabs[name].addEventListener('click', () => void choose(name))
fresh.addEventListener('click', () => void choose('feed'))

search.addEventListener('submit', (event) => {
  event.preventDefault()
  const words = search.querySelector('input').value.trim()
  void choose(words === '' ? 'feed' : { words })
})

register.addEventListener('submit', (event) => {
  event.preventDefault()
  const name = register.querySelector('input').value
  void tried(async () => {
    remember(await enter(name))
    await begin()
    say(`Welcome, ${name}.`)
  })
})

/** Somebody new, or who was here before. */
async function enter(name) {
  try {
    return await ask('POST', '/users', { name })
  } catch (error) {
    if (error.status !== 409) throw error
    const users = await ask('GET', `/users?name=${name}`)
    const known = users.find((user) => user.name === name)
    if (known === undefined) throw error
    return { id: known.id, name }
  }
}

/** A page that is being read does not change under its reader. */
function arrived() {
  if (shown !== 'feed') return
  const isBusy =
    scrollY > 200 ||
    document.activeElement?.closest('article') ||
    document.querySelector('[aria-expanded="true"]')
  if (!isBusy) void choose('feed')
  else if (fresh.hidden) {
    fresh.hidden = false
    say('There are new posts.')
  }
}

async function begin() {
  const who = whoAmI()
  register.hidden = who !== null
  const leave = () => {
    remember(null)
    location.reload()
  }
  document
    .querySelector('#who')
    .replaceChildren(
      ...(who === null ? [] : [who.name, element('button', { class: 'plain', onclick: leave }, 'Leave')]),
    )
  tabs.feed.hidden = document.querySelector('#told').hidden = who === null
  if (who !== null) {
    follow(arrived)
    await showCompose()
  }
  await showPeople()
  await choose(who === null ? 'hot' : 'feed')
}

await tried(begin)
