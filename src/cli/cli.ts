/** The command line: finds the command, runs it, and ends the process with its exit code. */
import { readFile, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { readArguments } from './arguments.ts'
import { configCommand } from './config.ts'
import { doctorCommand } from './doctor.ts'
import { EXIT } from './exit-codes.ts'
import { commandHelp, generalHelp } from './help.ts'
import { cronCommand } from './durable/cron.ts'
import { eventsCommand } from './durable/events.ts'
import { jobsCommand } from './durable/jobs.ts'
import { migrateCommand } from './durable/migrate.ts'
import { Misunderstood } from './misunderstood.ts'
import { reportError } from './report-error.ts'
import { replicateCommand } from './replicate.ts'
import { runCommand } from './run.ts'
import type { Command, Terminal } from './command.ts'

export const COMMANDS: readonly Command[] = [
  runCommand,
  configCommand,
  doctorCommand,
  jobsCommand,
  eventsCommand,
  cronCommand,
  replicateCommand,
  migrateCommand,
]

/** What `sluice` does. Resolves when the command is done; with `run` the program goes on. */
export async function main(): Promise<void> {
  const terminal: Terminal = {
    out: (line) => void process.stdout.write(`${line}\n`),
    err: (line) => void process.stderr.write(`${line}\n`),
    env: process.env,
    cwd: process.cwd(),
    width: process.stdout.isTTY ? process.stdout.columns : undefined,
  }
  const unwritten = outliveOutput()
  const code = await runCli(process.argv.slice(2), terminal)
  if (code !== undefined) await exit(code, unwritten)
}

/** Runs one command line. @returns the exit code; undefined when a program goes on and ends by itself */
export async function runCli(argv: readonly string[], terminal: Terminal): Promise<number | undefined> {
  const reading = readArguments(argv, COMMANDS)
  switch (reading.kind) {
    case 'version':
      terminal.out(await version())
      return EXIT.ok
    case 'help':
      terminal.out(reading.command === undefined ? generalHelp(COMMANDS) : commandHelp(reading.command))
      return EXIT.ok
    case 'usage':
      terminal.err(`sluice: ${reading.message}`)
      terminal.err(`Try: sluice ${reading.command === undefined ? '' : `${reading.command.name} `}--help`)
      return EXIT.usage
    case 'run': {
      const { file } = reading.invocation
      if (file !== undefined && !(await isFile(resolve(terminal.cwd, file)))) {
        terminal.err(`sluice: there is no file ${resolve(terminal.cwd, file)}`)
        return EXIT.usage
      }
      try {
        return await reading.command.run(reading.invocation, terminal)
      } catch (error) {
        if (error instanceof Misunderstood) {
          terminal.err(`sluice: ${error.message}`)
          terminal.err(`Try: sluice ${reading.command.name} --help`)
          return EXIT.usage
        }
        return reportError(error, terminal)
      }
    }
  }
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (facts) => facts.isFile(),
    () => false,
  )
}

async function version(): Promise<string> {
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { readonly version: string }).version
}

/**
 * Ends the process when all is written; a program that was looked at may hold it open with timers of its own. What a
 * command had to say and could not makes it a failure.
 */
async function exit(code: number, unwritten: () => Error | undefined): Promise<void> {
  await Promise.all([flush(process.stdout), flush(process.stderr)])
  const error = unwritten()
  if (error !== undefined) process.stderr.write(`sluice: the output could not be written: ${error.message}\n`)
  process.exit(error !== undefined && code === EXIT.ok ? EXIT.failure : code)
}

function flush(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => stream.write('', () => resolve()))
}

/**
 * A full disk, or a terminal that is gone, ends no program that runs and serves. `sluice config | head -1` closes the pipe
 * early: that is no error at all.
 *
 * @returns the first other error
 */
function outliveOutput(): () => Error | undefined {
  let first: Error | undefined
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') first ??= error
    })
  }
  return () => first
}
