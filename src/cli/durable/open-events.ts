/** What is asked of events, on the database that they live in. */
import type { Queries } from '../../events/queries.ts'
import type { Invocation, Terminal } from '../command.ts'
import { openEngine, type OpenEngine } from './open.ts'

export interface OpenEvents extends OpenEngine {
  readonly events: Queries
}

export async function openEvents(
  invocation: Invocation,
  terminal: Terminal,
  options: { readonly tells?: boolean } = {},
): Promise<OpenEvents> {
  const [open, { Queries }] = await Promise.all([
    openEngine(invocation, terminal, 'events', options),
    import('../../events/queries.ts'),
  ])
  return { ...open, events: new Queries(open.engine, open.engine.log) }
}
