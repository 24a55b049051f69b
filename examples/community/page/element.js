/** Makes elements. Text is text: nothing that people write becomes markup. */
const MENTION = /(?<![\w@.])(@[a-z][a-z0-9_]{1,29})(?![\w@])/

export function element(name, properties = {}, ...children) {
  const made = document.createElement(name)
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith('on')) made.addEventListener(key.slice(2), value)
    else if (key === 'class') made.className = value
    else if (value !== undefined && value !== null && value !== false)
      made.setAttribute(key, value === true ? '' : value)
  }
  made.append(...children.filter((child) => child !== null))
  return made
}

/** What somebody wrote, names made plain to see. */
export function written(text) {
  return element(
    'p',
    {},
    ...text
      .split(MENTION)
      .map((part) => (part.startsWith('@') ? element('span', { class: 'mention' }, part) : part)),
  )
}

const STEPS = [
  [60, 'second'],
  [60, 'minute'],
  [24, 'hour'],
  [7, 'day'],
  [Infinity, 'week'],
]
const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto', style: 'short' })

export function when(at) {
  const date = new Date(at)
  let amount = (date.getTime() - Date.now()) / 1_000
  let unit = 'second'
  for (const [size, name] of STEPS) {
    unit = name
    if (Math.abs(amount) < size) break
    if (size !== Infinity) amount /= size
  }
  return element(
    'time',
    { datetime: date.toISOString(), title: date.toLocaleString() },
    relative.format(Math.round(amount), unit),
  )
}

const status = document.querySelector('#status')
const problem = document.querySelector('#problem')

/** Said to who listens to the page instead of looking at it. */
export function say(text) {
  status.textContent = text
}

/** Runs what may fail, and shows why it did. */
export async function tried(work) {
  try {
    problem.hidden = true
    return await work()
  } catch (error) {
    problem.textContent = error.message
    problem.hidden = false
    return undefined
  }
}
