/** `sluice config [file]`: the effective configuration with the source of each value. */
import { describeProblem } from '../config/problem.ts'
import { columns } from './columns.ts'
import {
  CHANGED_OPTION,
  CONFIG_OPTION,
  JSON_OPTION,
  type Command,
  type Invocation,
  type Terminal,
} from './command.ts'
import { EXIT } from './exit-codes.ts'
import { readSubject, type Subject } from './subject.ts'
import type { ConfigReading } from '../config/load.ts'
import type { Entry } from '../config/resolve.ts'

export const configCommand: Command = {
  name: 'config',
  parameters: '[file]',
  summary: 'show the effective configuration and where each value comes from',
  detail:
    'With a program, the configuration of its app; nothing connects. Without one, that of every component that there\n' +
    'is. Secrets are shown as ***. Every fault is listed, on standard error.',
  options: [CONFIG_OPTION, CHANGED_OPTION, JSON_OPTION],
  fileRequired: false,
  passesRest: false,
  exits: {
    [EXIT.ok]: 'the configuration is right',
    [EXIT.failure]: 'the program failed while it was imported',
    [EXIT.usage]: 'command not understood, or no such file',
    [EXIT.config]: 'the configuration is wrong',
  },
  run,
}

async function run(invocation: Invocation, terminal: Terminal): Promise<number> {
  const subject = await readSubject(invocation, terminal)
  const { app } = subject
  const config = { ...subject.config, entries: entriesOf(subject, invocation) }
  if (invocation.json) terminal.out(JSON.stringify(asJson(app, config), undefined, 2))
  else print(config, terminal)
  return config.problems.length === 0 ? EXIT.ok : EXIT.config
}

function entriesOf({ app, config }: Subject, { changed }: Invocation): readonly Entry[] {
  const entries = config.entries.map((entry) =>
    // The name that createApp was given holds where no source of the configuration sets another.
    app !== undefined && entry.path === 'app.name' && entry.source === 'default'
      ? { ...entry, shown: app, source: 'code' }
      : entry,
  )
  return changed ? entries.filter((entry) => entry.source !== 'default') : entries
}

function print(config: ConfigReading, terminal: Terminal): void {
  terminal.out(`# file: ${config.file ?? 'none'}`)
  const rows = config.entries.map((entry) => [
    entry.path,
    entry.shown === '' ? '-' : entry.shown,
    entry.source,
  ])
  for (const line of columns(rows)) terminal.out(line)
  printFindings(config, terminal)
}

/** Warnings and problems, to standard error. */
export function printFindings(config: ConfigReading, terminal: Terminal): void {
  for (const warning of config.warnings) terminal.err(`warning: ${warning}`)
  for (const problem of config.problems) terminal.err(`fault: ${describeProblem(problem)}`)
}

function asJson(app: string | undefined, config: ConfigReading): object {
  return {
    app: app ?? null,
    file: config.file ?? null,
    values: config.entries.map((entry) => ({
      path: entry.path,
      value: entry.shown === '' ? null : entry.shown,
      source: entry.source,
    })),
    warnings: config.warnings,
    problems: config.problems,
  }
}
