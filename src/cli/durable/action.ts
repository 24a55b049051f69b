/** An action with what it does, and a command that consists of some. */
import type { Action, Command, Invocation, Terminal } from '../command.ts'
import { SluiceError } from '../../core/errors.ts'
import { DATABASE_EXITS, DATABASE_OPTIONS } from './options.ts'

export interface RunnableAction extends Action {
  run(invocation: Invocation, terminal: Terminal): Promise<number>
}

export function commandOf(
  about: Pick<Command, 'name' | 'summary' | 'detail'>,
  actions: readonly RunnableAction[],
): Command {
  return {
    ...about,
    parameters: '[file] [action]',
    options: DATABASE_OPTIONS,
    actions,
    fileRequired: false,
    passesRest: false,
    exits: DATABASE_EXITS,
    run: (invocation, terminal) => {
      const action = actions.find((each) => each.name === invocation.action)
      if (action === undefined) throw new SluiceError('SLUICE_INTERNAL', `${about.name}: no action`)
      return action.run(invocation, terminal)
    },
  }
}
