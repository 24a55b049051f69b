/** The help, made from the commands. */
import type { Command } from './command.ts'
import { columns } from './columns.ts'
import { EXIT } from './exit-codes.ts'

export function generalHelp(commands: readonly Command[]): string {
  return [
    'sluice: asynchronous infrastructure for TypeScript services',
    '',
    'Usage: sluice <command> [options]',
    '',
    ...columns(commands.map((each) => [`  ${each.name} ${each.parameters}`, each.summary])),
    '',
    ...columns([
      ['  --help', 'this help; `sluice <command> --help` for one command'],
      ['  --version', 'the version'],
    ]),
    '',
    `Exit codes: ${EXIT.ok} done, ${EXIT.failure} failure, ${EXIT.usage} command not understood, ${EXIT.deadline} shutdown over its`,
    `deadline, ${EXIT.system} port or system, ${EXIT.config} configuration, 130/143 second signal.`,
  ].join('\n')
}

export function commandHelp(command: Command): string {
  const options = command.options.map((option) => {
    const value = option.value === undefined ? '' : ` <${option.value}>`
    return [`  --${option.name}${value}`, option.doc] as const
  })
  return [
    `Usage: sluice ${command.name} ${command.parameters}${options.length === 0 ? '' : ' [options]'}`,
    '',
    command.detail,
    '',
    ...columns([...options, ['  --help', 'this help']]),
    '',
    'Exit codes:',
    ...columns(Object.entries(command.exits).map(([code, meaning]) => [`  ${code}`, meaning])),
  ].join('\n')
}
