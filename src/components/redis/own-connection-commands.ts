/**
 * Commands that need a connection to themselves. All callers share a few: what puts one into another state would change
 * what everybody's next command does (behind MULTI a write is queued and never made), and what waits on the server
 * holds up all that stand behind it.
 */
import { SluiceError } from '../../core/errors.ts'
import type { Argument } from './backend.ts'

const MULTI = 'Use multi(), or a script.'
const SUBSCRIBE = 'Use subscribe().'
const SETTINGS =
  'Set addr, username, password and db of the component; for another database number, add a component.'
const OWN = 'Use a connection of your own, or redis-cli.'
const WAITS = 'Look again from time to time, or use jobs or events for work that is waited for.'

/** What to use instead. */
const INSTEAD: ReadonlyMap<string, string> = new Map([
  ...each('MULTI EXEC DISCARD WATCH UNWATCH', MULTI),
  ...each('SUBSCRIBE PSUBSCRIBE SSUBSCRIBE UNSUBSCRIBE PUNSUBSCRIBE SUNSUBSCRIBE', SUBSCRIBE),
  ...each('SELECT AUTH HELLO RESET QUIT', SETTINGS),
  ...each('MONITOR SYNC PSYNC REPLCONF ASKING READONLY READWRITE', OWN),
  ...each('BLPOP BRPOP BRPOPLPUSH BLMOVE BLMPOP BZPOPMIN BZPOPMAX BZMPOP WAIT WAITAOF', WAITS),
])

/** Of these, some subcommands: they set something of the connection. */
const SUBCOMMANDS: ReadonlyMap<string, ReadonlySet<string>> = new Map([
  ['CLIENT', new Set(['REPLY', 'TRACKING', 'CACHING', 'SETNAME', 'SETINFO', 'NO-EVICT', 'NO-TOUCH'])],
  ['SCRIPT', new Set(['DEBUG'])],
])

/** Throws SLUICE_UNSUPPORTED, and says what to use. */
export function refuseOnShared(args: readonly Argument[]): void {
  const name = word(args[0])
  const instead = INSTEAD.get(name)
  if (instead !== undefined) throw refusal(name, instead)
  const subcommand = SUBCOMMANDS.has(name) ? word(args[1]) : ''
  if (SUBCOMMANDS.get(name)?.has(subcommand) === true) throw refusal(`${name} ${subcommand}`, OWN)
  if ((name === 'XREAD' || name === 'XREADGROUP') && blocks(args)) throw refusal(`${name} BLOCK`, WAITS)
}

/** BLOCK stands before STREAMS: behind it, and behind GROUP, a name may be the same. */
function blocks([, ...args]: readonly Argument[]): boolean {
  const words = args.map(word)
  const streams = words.indexOf('STREAMS')
  const options = words.slice(0, streams === -1 ? undefined : streams)
  const group = options.indexOf('GROUP')
  if (group !== -1) options.splice(group, 3)
  return options.includes('BLOCK')
}

function word(argument: Argument | undefined): string {
  return String(argument ?? '').toUpperCase()
}

function each(names: string, instead: string): readonly (readonly [string, string])[] {
  return names.split(' ').map((name) => [name, instead])
}

function refusal(what: string, hint: string): SluiceError {
  return new SluiceError(
    'SLUICE_UNSUPPORTED',
    `redis: ${what} needs a connection to itself, and this one is shared by all callers`,
    { hint },
  )
}
