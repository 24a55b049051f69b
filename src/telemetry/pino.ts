/**
 * The logger: pino's lines on standard output, readable ones on a terminal.
 *
 * Importing pino takes 12 ms, which the first request would wait for, so it is loaded by `load()`, which the app calls
 * once its port is open, or by itself a moment after the first line. Until then lines are kept, at most MAX_KEPT, each
 * with the time and the request it was written in, and go out in order; when the process exits before that, they are
 * written as they are. What came beyond the limit is counted, and the count is logged.
 *
 * Every line is redacted. Nothing that happens to the output (EPIPE, a closed or full disk) reaches the caller, and no
 * call throws, whatever it is given: what cannot be shown is named in the line.
 *
 * pino's own part is the output, which does not block. The text is made here, since pino writes a field that the
 * logger, a child and the call all have as often as they have it, and readers of JSON do not agree what that means.
 */
import { writeSync } from 'node:fs'
import { hostname } from 'node:os'
import { isatty } from 'node:tty'
import { systemClock, type Clock } from '../core/clock.ts'
import { currentContext } from './context.ts'
import { mergeFields, readCall, reasonOf } from './log-call.ts'
import type { Logger } from './log.ts'
import { LEVEL_NUMBERS, type Level, type LevelSetting, type Line } from './log-line.ts'
import { formatPretty } from './pretty.ts'
import { redactText, redactValue } from './redact.ts'

export interface LoggerOptions {
  /** Lines below it are left out. @default 'info' */
  readonly level?: LevelSetting
  /** Readable lines instead of JSON. @default true where standard output is a terminal */
  readonly pretty?: boolean
  /** Where lines go. What it throws is ignored. @default standard output, written without blocking */
  readonly stream?: { write(text: string): unknown }
  /** In every line, such as the name and version of the service. @default the process id and the host's name */
  readonly base?: Readonly<Record<string, unknown>>
  /** Takes known secrets out of lines, besides what always is. */
  readonly redact?: (text: string) => string
  readonly clock?: Clock
}

/** The logger of a process. The children that `child` gives share all of it. */
export interface ProcessLogger extends Logger {
  /** Loads pino and writes what was kept; later lines go straight out. Idempotent, never rejects. */
  load(): Promise<void>
  /** Resolves when all lines so far have been handed to the system, or after a second. Never rejects. */
  flush(): Promise<void>
}

/** Lines that are kept until pino is there. */
export const MAX_KEPT = 1_000

const LOAD_AFTER_MS = 250
const FLUSH_LIMIT_MS = 1_000

export function createLogger(options: LoggerOptions = {}): ProcessLogger {
  const sink = new Sink(options)
  const minimum = options.level === 'silent' ? Infinity : LEVEL_NUMBERS[options.level ?? 'info']
  return {
    ...makeLogger(sink, minimum, Object.freeze({})),
    load: () => sink.load(),
    flush: () => sink.flush(),
  }
}

function makeLogger(sink: Sink, minimum: number, bound: Fields): Logger {
  const write = (level: Level, what: string | object, message?: string): void => {
    if (LEVEL_NUMBERS[level] >= minimum) sink.write(level, bound, what, message)
  }
  return {
    debug: (what, message) => write('debug', what, message),
    info: (what, message) => write('info', what, message),
    warn: (what, message) => write('warn', what, message),
    error: (what, message) => write('error', what, message),
    child: (fields) => makeLogger(sink, minimum, Object.freeze(mergeFields(bound, fields))),
  }
}

type State =
  | { readonly kind: 'keeping'; readonly lines: Line[]; leftOut: number }
  | { readonly kind: 'open'; readonly put: (line: Line) => void; readonly flush: () => Promise<void> }

class Sink {
  readonly #options: LoggerOptions
  readonly #clock: Clock
  readonly #redact: (text: string) => string
  readonly #base: Fields
  readonly #pretty: boolean
  readonly #colour = process.env['NO_COLOR'] === undefined
  #state: State = { kind: 'keeping', lines: [], leftOut: 0 }
  #loading: Promise<void> | undefined
  readonly #onExit = (): void => this.#writeKept()

  constructor(options: LoggerOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#redact = options.redact ?? redactText
    this.#base = redactValue(options.base ?? { pid: process.pid, hostname: hostname() }) as Fields
    this.#pretty = options.pretty ?? (options.stream === undefined && isatty(STDOUT))
  }

  /** Never throws. */
  write(level: Level, bound: Fields, first: unknown, second?: unknown): void {
    let line: Line
    try {
      const { fields, message } = readCall(bound, first, second)
      line = { level, time: this.#clock.now(), fields: this.#show(fields), message: this.#redact(message) }
    } catch (thrown) {
      // The redactor that was given threw, so nothing of the line may be shown.
      const fields = { unprintable: reasonOf(thrown) }
      line = { level, time: this.#clock.now(), fields, message: 'a log line could not be written' }
    }
    this.#keepOrPut(line)
  }

  #keepOrPut(line: Line): void {
    const state = this.#state
    if (state.kind === 'open') {
      state.put(line)
      return
    }
    if (state.lines.length >= MAX_KEPT) {
      state.leftOut += 1
      return
    }
    if (state.lines.length === 0) this.#expectLoad()
    state.lines.push(line)
  }

  load(): Promise<void> {
    this.#loading ??= this.#load()
    return this.#loading
  }

  async flush(): Promise<void> {
    await this.load()
    if (this.#state.kind !== 'open') return
    const limit = Promise.withResolvers<void>()
    const timer = this.#clock.setTimer(limit.resolve, FLUSH_LIMIT_MS)
    await Promise.race([this.#state.flush(), limit.promise])
    timer.cancel()
  }

  async #load(): Promise<void> {
    const { stream } = this.#options
    const output: Output =
      stream === undefined ? await openStdout(this.#clock) : { stream, flush: () => Promise.resolve() }
    this.#open({
      put: (line) => attempt(() => output.stream.write(this.#textOf(line, this.#colour))),
      flush: output.flush,
    })
  }

  #open(destination: Destination): void {
    const kept = this.#state
    process.off('exit', this.#onExit)
    this.#state = { kind: 'open', ...destination }
    if (kept.kind !== 'keeping') return
    for (const line of kept.lines) destination.put(line)
    if (kept.leftOut > 0) {
      this.write('warn', {}, { leftOut: kept.leftOut }, 'log lines were left out before the log was open')
    }
  }

  #expectLoad(): void {
    process.once('exit', this.#onExit)
    this.#clock.setTimer(() => void this.load(), LOAD_AFTER_MS, { keepAlive: false })
  }

  /** The process exits and pino was never there. */
  #writeKept(): void {
    if (this.#state.kind !== 'keeping') return
    for (const line of this.#state.lines.splice(0)) {
      attempt(() => {
        const text = this.#textOf(line, false)
        if (this.#options.stream === undefined) writeSync(STDOUT, text)
        else this.#options.stream.write(text)
      })
    }
  }

  #textOf(line: Line, colour: boolean): string {
    return this.#pretty
      ? formatPretty(line, { colour, stacks: this.#options.level === 'debug' })
      : formatJson(line, this.#base)
  }

  #show(fields: Fields): Fields {
    const shown = this.#redactFields(fields)
    const context = currentContext()
    return context === undefined || 'requestId' in shown ? shown : { ...shown, requestId: context.requestId }
  }

  #redactFields(fields: Fields): Fields {
    try {
      return redactValue(fields, this.#redact) as Fields
    } catch {
      // Something inside a field threw when it was read; the other fields are still worth having.
      const shown = Object.create(null) as Record<string, unknown>
      for (const [name, value] of Object.entries(fields).slice(0, MAX_FIELDS)) {
        Object.assign(shown, this.#redactField(name, value))
      }
      return shown
    }
  }

  #redactField(name: string, value: unknown): unknown {
    try {
      return redactValue({ [name]: value }, this.#redact)
    } catch (thrown) {
      return { [this.#redact(name)]: this.#redact(`[unprintable: ${reasonOf(thrown)}]`) }
    }
  }
}

type Fields = Readonly<Record<string, unknown>>

const STDOUT = 1
const MAX_FIELDS = 100

interface Destination {
  readonly put: (line: Line) => void
  readonly flush: () => Promise<void>
}

interface Output {
  readonly stream: { write(text: string): unknown }
  readonly flush: () => Promise<void>
}

/** Lines that the output did not take yet, in bytes; more are left out. */
const MAX_UNWRITTEN_BYTES = 16 * 1024 * 1024
/** After the output failed, lines are left out for this long before it is tried again. */
const REOPEN_AFTER_MS = 1_000

/**
 * Standard output through pino's non-blocking stream, given up when a write fails and opened anew with a later line: the
 * stream itself would keep what it could not write and try it for ever at the exit of the process, on a full disk say.
 */
async function openStdout(clock: Clock): Promise<Output> {
  const { destination } = await import('pino')
  let failedAt = -Infinity
  let stream: ReturnType<typeof destination> | undefined
  const open = (): ReturnType<typeof destination> => {
    const opened = destination({ dest: STDOUT, sync: false, maxLength: MAX_UNWRITTEN_BYTES })
    opened.on('error', () => {
      failedAt = clock.monotonic()
      if (stream === opened) stream = undefined
      attempt(() => opened.destroy())
    })
    return opened
  }
  return {
    stream: {
      write(text) {
        if (stream === undefined && clock.monotonic() - failedAt < REOPEN_AFTER_MS) return false
        stream ??= open()
        return stream.write(text)
      },
    },
    flush: () =>
      new Promise((resolve) => {
        if (stream === undefined) resolve()
        else attempt(() => stream?.flush(() => resolve()))
      }),
  }
}

/** As pino would write it, but with each key once: one object takes them all, and the later ones win. */
function formatJson(line: Line, base: Fields): string {
  const { level, time, fields, message } = line
  return `${JSON.stringify({ level: LEVEL_NUMBERS[level], time, ...base, ...fields, msg: message })}\n`
}

/** A log that cannot be written must not break what is logged. */
function attempt(fn: () => unknown): void {
  try {
    fn()
  } catch {
    // There is nowhere left to say so.
  }
}
