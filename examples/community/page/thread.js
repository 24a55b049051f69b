/** The comments of a post, answers below what they answer. */
import { ask, whoAmI } from './ask.js'
import { element, say, tried, when, written } from './element.js'

/** `counted` is told how many there are. */
export async function thread(postId, counted) {
  const box = element('div')
  const draw = async () => {
    const comments = await ask('GET', `/posts/${postId}/comments`)
    counted(comments.filter(({ body }) => body !== null).length)
    box.replaceChildren(branch(null, comments), form(null, 'Comment'))
  }
  const form = (parentId, title) => {
    const text = element('textarea', { rows: '2', maxlength: '4000', required: true, 'aria-label': title })
    const send = (event) => {
      event.preventDefault()
      void tried(async () => {
        await ask('POST', `/posts/${postId}/comments`, { body: text.value, ...(parentId && { parentId }) })
        await draw()
        say('Your comment is there.')
      })
    }
    return whoAmI() === null
      ? ''
      : element(
          'form',
          { onsubmit: send },
          text,
          element('div', { class: 'row' }, element('button', { class: 'main' }, title)),
        )
  }
  const branch = (parentId, comments) =>
    element(
      'ul',
      { class: 'thread' },
      ...comments
        .filter((comment) => comment.parentId === parentId)
        .map((comment) => {
          const answer = element('div')
          const reply = element('button', { class: 'plain', onclick: () => open() }, 'Answer')
          const open = () => {
            answer.replaceChildren(form(comment.id, `Answer ${comment.author}`))
            answer.querySelector('textarea')?.focus()
          }
          return element(
            'li',
            {},
            element('div', { class: 'by' }, element('strong', {}, comment.author), when(comment.at)),
            comment.body === null ? element('p', { class: 'quiet' }, 'deleted') : written(comment.body),
            comment.body === null || whoAmI() === null ? null : reply,
            answer,
            branch(comment.id, comments),
          )
        }),
    )
  await draw()
  return box
}
