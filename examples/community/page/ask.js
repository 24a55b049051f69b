/** Asks the server, as whoever this is. Rejects with what the server says is wrong. */
const KEY = 'community.user'

/** `{ id, name }`, or null. */
export function whoAmI() {
  return JSON.parse(localStorage.getItem(KEY) ?? 'null')
}

export function remember(user) {
  if (user === null) localStorage.removeItem(KEY)
  else localStorage.setItem(KEY, JSON.stringify(user))
}

export async function ask(method, path, body) {
  const who = whoAmI()
  const headers = {
    ...(who && { 'x-user': who.id }),
    ...(body && { 'content-type': 'application/json' }),
  }
  const reply = await fetch(path, { method, headers, ...(body && { body: JSON.stringify(body) }) })
  const text = await reply.text()
  const answer = text === '' ? null : JSON.parse(text)
  if (reply.ok) return answer
  throw Object.assign(new Error(answer?.detail ?? `the server answered ${reply.status}`), {
    status: reply.status,
  })
}
