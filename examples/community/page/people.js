/** People to follow. */
import { ask, whoAmI } from './ask.js'
import { element, say, tried } from './element.js'

const list = document.querySelector('#people')
const find = document.querySelector('#find')

export async function showPeople() {
  const people = await ask('GET', `/users?name=${encodeURIComponent(find.value)}`)
  const own = whoAmI()?.id
  list.replaceChildren(...people.map((person) => row(person, own)))
}

find.addEventListener('input', () => void tried(showPeople))

function row(person, own) {
  const count = `${person.followers} follower${person.followers === 1 ? '' : 's'}`
  const name = element('span', {}, person.name, ' ', element('small', {}, count))
  return element('li', {}, name, own === undefined || own === person.id ? null : followButton(person))
}

function followButton({ id, name, followed }) {
  let follows = followed
  const click = () =>
    tried(async () => {
      await ask(follows ? 'DELETE' : 'PUT', `/users/${id}/follow`)
      follows = !follows
      draw()
      say(follows ? `You follow ${name}.` : `You do not follow ${name} any more.`)
    })
  const button = element('button', { onclick: click })
  const draw = () => {
    button.textContent = follows ? 'Following' : 'Follow'
    button.setAttribute('aria-pressed', String(follows))
    button.setAttribute('aria-label', `${follows ? 'Following' : 'Follow'} ${name}`)
  }
  draw()
  return button
}
