/** What happens in this service, for whoever wants to know. Published in the transaction of what happened. */
import { event } from 'sluice/events'
import { z } from 'zod'

const todo = z.object({ id: z.string(), userId: z.string(), title: z.string() })

export const TodoCreated = event('todo.created', todo)
export const TodoCompleted = event('todo.completed', todo)
