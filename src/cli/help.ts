/** The help, made from the commands. */
import type { Command, Option } from './command.ts'
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
    `deadline, ${EXIT.system} port or system, ${EXIT.config} configuration, 129/130/143 second signal.`,
  ].join('\n')
}

export function commandHelp(command: Command): string {
  const parameters = [command.parameters, command.options.length === 0 ? '' : '[options]'].filter(Boolean)
  return [
    `Usage: sluice ${command.name} ${parameters.join(' ')}`,
    '',
    command.detail,
    '',
    ...actionsHelp(command),
    ...columns([...command.options.map((each) => optionRow(each)), ['  --help', 'this help']]),
    '',
    'Exit codes:',
    ...columns(Object.entries(command.exits).map(([code, meaning]) => [`  ${code}`, meaning])),
  ].join('\n')
}

/** Each action with its options below it. */
function actionsHelp({ actions = [] }: Command): readonly string[] {
  if (actions.length === 0) return []
  const rows = actions.flatMap(({ name, parameters, summary, options }) => [
    [`  ${[name, parameters].filter(Boolean).join(' ')}`, summary],
    ...options.map((each) => optionRow(each, '    ')),
  ])
  return [...columns(rows), '']
}

function optionRow({ name, value, doc }: Option, indent = '  '): readonly [string, string] {
  return [`${indent}--${name}${value === undefined ? '' : ` <${value}>`}`, doc]
}
