/** Reads the arguments of a command. What is not understood is told with the nearest thing that would be. */
import { nearest } from '../config/nearest.ts'
import type { Action, Command, Invocation, Option } from './command.ts'

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
  const words: string[] = []
  const switches = new Set<string>()
  const values: Record<string, string> = {}
  const options = allOptions(command)
  for (let index = 0; index < args.length; index++) {
    const arg = args[index] ?? ''
    if (words.length > 0 && command.passesRest) {
      return ready(args.slice(arg === '--' ? index + 1 : index))
    }
    if (arg === '--help' || arg === '-h') return { kind: 'help', command }
    if (!arg.startsWith('-')) {
      words.push(arg)
      continue
    }
    const [name, inline] = splitOption(arg)
    const option = options.find((each) => `--${each.name}` === name)
    if (option === undefined) return usage(unknownOption(name, options))
    if (option.value === undefined) {
      if (inline !== undefined) return usage(`${name} takes no value`)
      switches.add(option.name)
      continue
    }
    const value = inline ?? args[++index]
    if (value === undefined || value === '') return usage(`${name} needs a ${option.value}`)
    values[option.name] = value
  }
  return ready([])

  function ready(rest: readonly string[]): Reading {
    const found = readWords(command, words)
    if (typeof found === 'string') return usage(found)
    const { file, action } = found
    const foreign = [...switches, ...Object.keys(values)].find(
      (name) => action !== undefined && !optionsOf(command, action).some((each) => each.name === name),
    )
    if (action !== undefined && foreign !== undefined) {
      return usage(`--${foreign} is no option of \`sluice ${command.name} ${action.name}\``)
    }
    const json = switches.has('json')
    const changed = switches.has('changed')
    const { config } = values
    const more = { action: action?.name, words: found.words, values, switches }
    return { kind: 'run', command, invocation: { file, rest, json, changed, config, ...more } }
  }
}

interface Words {
  readonly file: string | undefined
  readonly action: Action | undefined
  readonly words: readonly string[]
}

/** The file, then the action, then what it is about; or what is wrong with them. */
function readWords(command: Command, given: readonly string[]): Words | string {
  const { actions } = command
  if (actions === undefined) {
    const [file, second] = given
    if (second !== undefined) return `one file at most, got ${JSON.stringify(second)} too`
    if (file === undefined && command.fileRequired) return 'no file given'
    return { file, action: undefined, words: [] }
  }
  const find = (word: string | undefined): Action | undefined => actions.find((each) => each.name === word)
  const hasFile = given[0] !== undefined && find(given[0]) === undefined && /[./\\]/.test(given[0])
  const [word, ...words] = hasFile ? given.slice(1) : given
  const action = word === undefined ? actions[0] : find(word)
  if (action === undefined) return unknownAction(word ?? '', command, actions)
  const [least, most] = action.words
  if (words.length < least) return `\`sluice ${command.name} ${action.name}\` needs ${action.parameters}`
  if (words.length > most) {
    return `\`sluice ${command.name} ${action.name}\` does not know what to do with ${JSON.stringify(words[most])}`
  }
  return { file: hasFile ? given[0] : undefined, action, words }
}

function optionsOf(command: Command, action: Action): readonly Option[] {
  return [...action.options, ...command.options]
}

/** Those of the command and of all its actions, each name once. */
function allOptions(command: Command): readonly Option[] {
  const all = [...(command.actions ?? []).flatMap((each) => each.options), ...command.options]
  return [...new Map(all.map((each) => [each.name, each])).values()]
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

function unknownAction(word: string, command: Command, actions: readonly Action[]): string {
  const names = actions.map((each) => each.name)
  const near = nearest(word, names)
  const what = `\`sluice ${command.name}\` can do nothing called ${JSON.stringify(word)}`
  return near === undefined ? `${what}; it can ${names.join(', ')}` : `${what}; did you mean ${near}?`
}

function unknownOption(name: string, options: readonly Option[]): string {
  const known = ['--help', ...options.map((each) => `--${each.name}`)]
  const near = nearest(name, known)
  return `unknown option ${JSON.stringify(name)}${near === undefined ? `; there are ${known.join(', ')}` : `; did you mean ${near}?`}`
}
