/** What a command is, as data: the help and the reading of arguments are made from it. */

export interface Terminal {
  /** Writes a line to standard output. */
  out(line: string): void
  /** Writes a line to standard error. */
  err(line: string): void
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  /** Characters in a line; undefined where nobody looks at it, and nothing needs to be cut. */
  readonly width?: number | undefined
}

export interface Invocation {
  /** The program's file. */
  readonly file: string | undefined
  /** What follows the file; `run` hands it to the program. */
  readonly rest: readonly string[]
  readonly json: boolean
  /** Leave out what a default gave. */
  readonly changed: boolean
  /** Path of the configuration file. */
  readonly config: string | undefined
  /** What is to be done, of a command that can do several things. */
  readonly action: string | undefined
  /** What follows the action. */
  readonly words: readonly string[]
  /** Options that have a value, by name. */
  readonly values: Readonly<Record<string, string>>
  readonly switches: ReadonlySet<string>
}

export interface Option {
  readonly name: string
  /** Name of its value; a switch has none. */
  readonly value?: string
  readonly doc: string
}

/** One of the things that a command can do: `retry` of `sluice jobs retry 12`. */
export interface Action {
  readonly name: string
  /** After the name: `<id>…`. */
  readonly parameters: string
  readonly summary: string
  /** Fewest and most words after the name. */
  readonly words: readonly [number, number]
  /** Beside those of the command. */
  readonly options: readonly Option[]
}

export interface Command {
  readonly name: string
  /** After the name: `<file>`, `[file]`. */
  readonly parameters: string
  /** One line. */
  readonly summary: string
  /** A paragraph for its own help. */
  readonly detail: string
  readonly options: readonly Option[]
  /** What it can do; the first of them without a word. */
  readonly actions?: readonly Action[]
  readonly fileRequired: boolean
  /** Takes what follows the file as it is. */
  readonly passesRest: boolean
  /** Exit codes that it ends with, for its help. */
  readonly exits: Readonly<Record<number, string>>
  /** @returns the exit code; undefined when the program goes on and ends by itself */
  run(invocation: Invocation, terminal: Terminal): Promise<number | undefined>
}

export const CONFIG_OPTION: Option = {
  name: 'config',
  value: 'path',
  doc: 'the configuration file; default: SLUICE_CONFIG, else ./sluice.yaml where it exists',
}
export const JSON_OPTION: Option = { name: 'json', doc: 'print JSON' }
export const CHANGED_OPTION: Option = {
  name: 'changed',
  doc: 'leave out what no source but the default gave',
}
