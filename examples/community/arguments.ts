/** What the command line asks for. */
import { parseArgs } from 'node:util'

export interface LoadOptions {
  readonly command: 'load'
  readonly users: number
  /** Of what people do, a second. */
  readonly rate: number
  readonly seconds: number
  readonly seed: number
  readonly workers: number
  /** How often a worker is ended by SIGKILL, and another started. */
  readonly kills: number
}

export interface ServeOptions {
  readonly command: 'serve'
  readonly workers: number
}

export const USAGE = `npm run example:community -- [--workers N]
npm run example:community -- load [--users N] [--rate R] [--seconds S] [--seed X] [--workers N] [--kills N]

  --workers N   processes that share the work (1; load: 2)
  --users N     people of the town (200)
  --rate R      what they do, a second (200)
  --seconds S   for how long (20)
  --seed X      the same seed makes the same plan (1)
  --kills N     how often a process is killed and another started (0)
`

const LIMITS = {
  users: [2, 1_000_000],
  rate: [1, 100_000],
  seconds: [1, 86_400],
  seed: [0, 4_294_967_295],
  workers: [1, 16],
  kills: [0, 1_000],
} as const

export function parseArguments(
  words: readonly string[],
): LoadOptions | ServeOptions | { readonly help: true } | { readonly fault: string } {
  try {
    const text = { type: 'string' } as const
    const { values, positionals } = parseArgs({
      args: [...words],
      allowPositionals: true,
      options: {
        users: text,
        rate: text,
        seconds: text,
        seed: text,
        workers: text,
        kills: text,
        help: { type: 'boolean' },
      },
    })
    if (values.help === true) return { help: true }
    const [command = 'serve', ...rest] = positionals
    if (rest.length > 0 || (command !== 'serve' && command !== 'load')) {
      return { fault: `there is no command "${positionals.join(' ')}"` }
    }
    const number = (name: keyof typeof LIMITS, standard: number): number => {
      const given = values[name]
      if (given === undefined) return standard
      const [min, max] = LIMITS[name]
      const value = Number(given)
      if (given.trim() !== '' && Number.isInteger(value) && value >= min && value <= max) return value
      throw new Error(`--${name}: expected a whole number from ${min} to ${max}, got "${given}"`)
    }
    if (command === 'serve') {
      const other = Object.keys(values).find((name) => name !== 'workers')
      if (other !== undefined) return { fault: `--${other} is an option of load` }
      return { command, workers: number('workers', 1) }
    }
    return {
      command,
      users: number('users', 200),
      rate: number('rate', 200),
      seconds: number('seconds', 20),
      seed: number('seed', 1),
      workers: number('workers', 2),
      kills: number('kills', 0),
    }
  } catch (error) {
    return { fault: error instanceof Error ? error.message : String(error) }
  }
}
