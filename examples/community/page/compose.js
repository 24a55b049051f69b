/** Writing a post, with a picture that goes straight into the store. */
import { ask } from './ask.js'
import { element, say, tried } from './element.js'

const form = document.querySelector('#compose')
const body = document.querySelector('#body')
const picture = document.querySelector('#picture')
const picked = document.querySelector('#picked')
const circle = document.querySelector('#circle')
const LOOK_MS = 200

export async function showCompose() {
  const circles = await ask('GET', '/circles')
  circle.replaceChildren(
    element('option', { value: '' }, 'For everybody'),
    ...circles.map(({ id, name }) => element('option', { value: id }, name)),
  )
  form.hidden = false
}

picture.addEventListener('change', () => {
  const file = picture.files[0]
  picked.hidden = file === undefined
  picked.textContent = file === undefined ? '' : `With ${file.name}`
})

form.addEventListener('submit', (event) => {
  event.preventDefault()
  const button = form.querySelector('button.main')
  button.disabled = true
  void tried(async () => {
    const file = picture.files[0]
    const mediaId = file === undefined ? undefined : await upload(file)
    const circleId = circle.value === '' ? undefined : circle.value
    if (circleId) await ask('PUT', `/circles/${circleId}/membership`)
    await ask('POST', '/posts', {
      body: body.value,
      ...(circleId && { circleId }),
      ...(mediaId && { mediaId }),
    })
    form.reset()
    picked.hidden = true
    say('Your post is published.')
  }).finally(() => {
    button.disabled = false
  })
})

/** Resolves with its id when it was looked at and is a picture. */
async function upload(file) {
  const { id, upload: to } = await ask('POST', '/media', { contentType: file.type, bytes: file.size })
  const stored = await fetch(to.url, { method: to.method, headers: to.headers, body: file })
  if (!stored.ok) throw new Error('the picture could not be stored')
  await ask('POST', `/media/${id}/uploaded`)
  for (;;) {
    const { state } = await ask('GET', `/media/${id}`)
    if (state === 'ready') return id
    if (state === 'refused') throw new Error('that is no picture that can be shown here')
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
  }
}
