/** Reads the arguments of a command. What is not understood is told with the nearest thing that would be. */
import { nearest } from '../config/nearest.ts'
import type { Command, Invocation, Option } from './command.ts'

export type Reading =
  | { readonly kind: 'run'; readonly command: Command; readonly invocation: Invocation }
  | { readonly kind: 'help'; readonly command?: Command }
  | { readonly kind: 'version' }
  | { readonly kind: 'usage'; readonly message: string; readonly command?: Command }

export function readArguments(argv: readonly string[], commands: readonly Command[]): Reading {
  const [first, ...others] = argv
  if (first === undefined) return { kind: 'usage', message: 'no command given' }
  if (first === '--help' || first === '-h') return { kind: 'help' }
  if (first === '--version' || first === '-v') return { kind: 'version' }
  if (first === 'help') return readHelp(others[0], commands)
  const command = commands.find((each) => each.name === first)
  if (command === undefined) return { kind: 'usage', message: unknownCommand(first, commands) }
  return readCommand(command, others)
}

function readHelp(name: string | undefined, commands: readonly Command[]): Reading {
  if (name === undefined) return { kind: 'help' }
  const command = commands.find((each) => each.name === name)
  return command === undefined
    ? { kind: 'usage', message: unknownCommand(name, commands) }
    : { kind: 'help', command }
}

function readCommand(command: Command, args: readonly string[]): Reading {
  const usage = (message: string): Reading => ({ kind: 'usage', message, command })
  let file: string | undefined
  const switches = new Set<Option['name']>()
  let config: string | undefined
  for (let index = 0; index < args.length; index++) {
    const arg = args[index] ?? ''
    if (file !== undefined && command.passesRest) {
      return ready(args.slice(arg === '--' ? index + 1 : index))
    }
    if (arg === '--help' || arg === '-h') return { kind: 'help', command }
    if (!arg.startsWith('-')) {
      if (file !== undefined) return usage(`one file at most, got ${JSON.stringify(arg)} too`)
      file = arg
      continue
    }
    const [name, inline] = splitOption(arg)
    const option = command.options.find((each) => `--${each.name}` === name)
    if (option === undefined) return usage(unknownOption(name, command))
    if (option.value === undefined) {
      if (inline !== undefined) return usage(`${name} takes no value`)
      switches.add(option.name)
      continue
    }
    const value = inline ?? args[++index]
    if (value === undefined || value === '') return usage(`${name} needs a ${option.value}`)
    config = value
  }
  if (file === undefined && command.fileRequired) return usage('no file given')
  return ready([])

  function ready(rest: readonly string[]): Reading {
    const json = switches.has('json')
    const changed = switches.has('changed')
    return { kind: 'run', command, invocation: { file, rest, json, changed, config } }
  }
}

function splitOption(arg: string): readonly [string, string | undefined] {
  const equals = arg.indexOf('=')
  return equals === -1 ? [arg, undefined] : [arg.slice(0, equals), arg.slice(equals + 1)]
}

function unknownCommand(name: string, commands: readonly Command[]): string {
  const near = nearest(
    name,
    commands.map((each) => each.name),
  )
  return `unknown command ${JSON.stringify(name)}${near === undefined ? '' : `; did you mean ${near}?`}`
}

function unknownOption(name: string, command: Command): string {
  const known = ['--help', ...command.options.map((each) => `--${each.name}`)]
  const near = nearest(name, known)
  return `unknown option ${JSON.stringify(name)}${near === undefined ? `; there are ${known.join(', ')}` : `; did you mean ${near}?`}`
}
