/** `sluice run <file>`: imports the program and runs the app that it made. */
import { resolve } from 'node:path'
import { installInspector, type InspectedApp } from '../app/inspection-hook.ts'
import { EXIT } from './exit-codes.ts'
import { importProgram, noApp } from './program.ts'
import type { Command, Invocation, Terminal } from './command.ts'

export const runCommand: Command = {
  name: 'run',
  parameters: '<file> [arguments]',
  summary: 'run a program: .ts or .js',
  detail:
    'Imports the program (TypeScript without a build) and runs the app that it makes, started or not. What\n' +
    'follows the file is handed to the program. SIGTERM, SIGINT and SIGHUP stop the app: requests and jobs\n' +
    'are finished first.',
  options: [],
  fileRequired: true,
  passesRest: true,
  exits: {
    [EXIT.ok]: 'stopped cleanly',
    [EXIT.failure]: 'the program failed, or made no app',
    [EXIT.usage]: 'command not understood, or no such file',
    [EXIT.deadline]: 'the shutdown took longer than its budget',
    [EXIT.system]: 'the port, or another resource of the system, cannot be had',
    [EXIT.config]: 'the configuration is wrong',
    130: 'a second SIGINT cut the shutdown short (143: SIGTERM, 129: SIGHUP)',
  },
  run,
}

async function run(invocation: Invocation, terminal: Terminal): Promise<number | undefined> {
  const file = invocation.file ?? ''
  const apps = new Set<InspectedApp>()
  const first = Promise.withResolvers<void>()
  const ended = (): void => first.reject(noApp(file, 'before it ended'))
  const hook = installInspector({
    created: (app) => {
      apps.add(app)
      first.resolve()
    },
    starting: () => 'go',
  })
  process.argv = [process.argv[0] ?? 'node', resolve(terminal.cwd, file), ...invocation.rest]
  try {
    await importProgram(file, terminal.cwd)
    // One that makes its app later also starts it by itself; with nothing left to happen, none will come.
    const atOnce = [...apps]
    process.once('beforeExit', ended)
    await first.promise
    // `run` starts what is not started yet, handles signals, and ends the process with its exit code.
    await Promise.all(atOnce.map((app) => app.run()))
  } finally {
    process.off('beforeExit', ended)
    hook[Symbol.dispose]()
  }
  return undefined
}
