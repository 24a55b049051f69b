/**
 * The main program around an app: signals, fatal errors and exit codes. The only place in the library that ends a
 * process.
 *
 * - SIGTERM, SIGINT or SIGHUP: graceful stop. Any signal within 500 ms of it is the same one, for npm and process groups
 *   send two. A later one skips all waiting: two seconds, then 143, 130 or 129. A third ends the process at once.
 * - An uncaught exception, or an unhandled rejection, is logged with its cause and stops the app within five seconds;
 *   code 1. What else goes wrong meanwhile is logged and cuts nothing short.
 * - A failed AsyncResult that nobody awaited is counted and told with its name (unawaited.ts), and ends nothing.
 */
import type { AppParts } from './parts.ts'
import type { Runtime } from './runtime.ts'
import { EXIT } from './shutdown.ts'
import { unawaitedFailures } from './unawaited.ts'
import { createWatchdog, type Watchdog } from './watchdog.ts'
import { isAsyncResult } from '../core/async-result.ts'
import { hasCode, isSluiceError, toError } from '../core/errors.ts'

type Signal = 'SIGTERM' | 'SIGINT' | 'SIGHUP'

const CUT_SHORT: Readonly<Record<Signal, number>> = {
  SIGTERM: EXIT.terminated,
  SIGINT: EXIT.interrupted,
  SIGHUP: EXIT.hungUp,
}

const DUPLICATE_MS = 500
const HURRY_MS = 2_000
/** The thread is for later, and its start would compete with the first requests. */
const WATCHDOG_AFTER_MS = 2_000
/** For what is still open to close by itself, once everything has been stopped. */
const EMPTY_LOOP_MS = 500

export async function runApp(runtime: Runtime, exit: boolean): Promise<number> {
  outliveReaders()
  const program = new Program(runtime)
  program.listen()
  const code = await program.finish()
  program.release()
  if (exit) {
    // Without a handler a signal that is late, such as the second one of npm, would end the process in place of the code.
    for (const signal of signalsOf(runtime.parts)) process.on(signal, () => {})
    endProcess(runtime.parts, code)
  }
  return code
}

/** Whoever reads our output may go away first, even before the start; that is no reason to end. */
function outliveReaders(): void {
  for (const stream of [process.stdout, process.stderr]) {
    // It stays for what is written last, and one is enough for any number of apps.
    if (!stream.listeners('error').includes(ignore)) stream.on('error', ignore)
  }
}

function ignore(): void {}

class Program {
  readonly #runtime: Runtime
  readonly #parts: AppParts
  readonly #unawaited: ReturnType<typeof unawaitedFailures>
  readonly #over = Promise.withResolvers<number>()
  readonly #handlers: readonly (readonly [string, (first: unknown, second: unknown) => void])[]
  #watchdog: Watchdog | undefined
  #watchdogTimer: NodeJS.Timeout | undefined
  #forcing: NodeJS.Timeout | undefined
  #firstSignalAt: number | undefined
  #signals = 0
  #forcedCode: number | undefined
  #ending = false
  #fatal = false
  #refused = false

  constructor(runtime: Runtime) {
    this.#runtime = runtime
    this.#parts = runtime.parts
    this.#unawaited = unawaitedFailures(runtime.parts)
    this.#handlers = [
      ...signalsOf(runtime.parts).map((signal) => [signal, () => this.#onSignal(signal)] as const),
      ['uncaughtException', (error) => this.#onFatal(error, 'uncaught exception')],
      ['unhandledRejection', (reason, promise) => this.#onRejection(reason, promise)],
    ]
  }

  listen(): void {
    for (const [event, handler] of this.#handlers) process.on(event, handler)
    this.#parts.stopping.watch({
      begins: (budgetMs) => this.#openWatchdog().deadline(budgetMs),
      step: (name) => this.#watchdog?.step(name),
      seesStalls: () => this.#watchdog !== undefined,
    })
    this.#runtime.onRefused((error) => this.#onRefused(error))
  }

  release(): void {
    for (const [event, handler] of this.#handlers) process.off(event, handler)
    clearTimeout(this.#watchdogTimer)
    clearTimeout(this.#forcing)
    this.#watchdog?.close()
  }

  async finish(): Promise<number> {
    try {
      await this.#runtime.start()
    } catch (error) {
      // A stop that came during the start is no failure.
      if (!this.#ending) return this.#startFailed(error)
    }
    this.#afterStart()
    return this.#over.promise
  }

  #afterStart(): void {
    this.#watchdogTimer = setTimeout(() => void this.#openWatchdog(), WATCHDOG_AFTER_MS).unref()
    // The app may have been stopped by its own code.
    const { stopping } = this.#parts
    const end = (): void => this.#end(() => this.#runtime.stop())
    if (stopping.draining) end()
    else stopping.signal.addEventListener('abort', end, { once: true })
  }

  async #startFailed(thrown: unknown): Promise<number> {
    const error = toError(thrown)
    const { log, name, appLog } = this.#parts
    if (hasCode(error, 'SLUICE_CONFIG') || hasCode(error, 'SLUICE_LISTEN')) {
      const hint = isSluiceError(error) && error.hint !== undefined ? `\n${error.hint}` : ''
      process.stderr.write(`${name}: ${error.message}${hint}\n`)
    } else {
      log.error({ err: error }, `${name} could not start`)
    }
    await this.#runtime.stop()
    await appLog.flush()
    return startCode(error)
  }

  /** It belongs to another program: to wait for that would look like an outage, and is a mistake of the configuration. */
  #onRefused(error: Error): void {
    if (this.#ending) return
    this.#refused = true
    this.#parts.log.error({ err: error }, 'cannot be had: stopping')
    this.#end(() => this.#runtime.stop())
  }

  #onSignal(signal: Signal): void {
    const now = performance.now()
    this.#firstSignalAt ??= now
    if (this.#signals > 0 && now - this.#firstSignalAt < DUPLICATE_MS) return
    this.#signals++
    const { log, stopping } = this.#parts
    if (this.#signals === 1) {
      log.info({ signal }, `${signal}: stopping`)
      this.#end(() => this.#runtime.stop())
      return
    }
    this.#forcedCode = CUT_SHORT[signal]
    if (this.#signals > 2) process.exit(this.#forcedCode)
    log.warn({ signal }, `${signal} again: not waiting any longer`)
    // There may be no watchdog yet, nor any steps that could hurry: the start itself may be what hangs.
    this.#openWatchdog().deadline(HURRY_MS)
    this.#forcing = setTimeout(() => process.exit(this.#forcedCode), HURRY_MS + EMPTY_LOOP_MS)
    stopping.hurry(HURRY_MS)
  }

  #onRejection(reason: unknown, promise: unknown): void {
    if (!isAsyncResult(promise)) {
      this.#onFatal(reason, 'unhandled rejection')
      return
    }
    this.#unawaited(promise.name, toError(reason))
  }

  #onFatal(thrown: unknown, what: string): void {
    const first = this.#forcedCode === undefined && !this.#fatal
    this.#parts.log.error({ err: toError(thrown) }, first ? `${what}: stopping` : `${what} while stopping`)
    if (!first) return
    this.#fatal = true
    // A stop that is under way already goes on, in a hurry, and ends as a failure.
    if (this.#ending) void this.#runtime.fail()
    else this.#end(() => this.#runtime.fail())
  }

  #end(stop: () => Promise<number>): void {
    if (this.#ending) return
    this.#ending = true
    stop().then(
      (code) => this.#over.resolve(this.#forcedCode ?? this.#codeOf(code)),
      (error: unknown) => {
        this.#parts.log.error({ err: toError(error) }, 'the stop itself failed')
        this.#over.resolve(EXIT.fatal)
      },
    )
  }

  /** `stopped`: of the stop itself. */
  #codeOf(stopped: number): number {
    if (this.#fatal) return EXIT.fatal
    return this.#refused && stopped === EXIT.clean ? EXIT.config : stopped
  }

  #openWatchdog(): Watchdog {
    const { stopping, log } = this.#parts
    this.#watchdog ??= createWatchdog({ maxStallMs: stopping.maxStallMs, log })
    return this.#watchdog
  }
}

/** Those that stop the app. SIGHUP comes when a terminal closes: without a stop, the embedded server would stay. */
function signalsOf({ stopping }: AppParts): readonly Signal[] {
  return stopping.hangup ? ['SIGTERM', 'SIGINT', 'SIGHUP'] : ['SIGTERM', 'SIGINT']
}

/** The code of a start that failed. */
function startCode(error: Error): number {
  if (hasCode(error, 'SLUICE_CONFIG')) return EXIT.config
  return hasCode(error, 'SLUICE_LISTEN') ? EXIT.system : EXIT.fatal
}

/** Lets the loop run empty; what keeps it alive half a second later is named, and left behind. */
function endProcess({ log, appLog }: AppParts, code: number): void {
  process.exitCode = code
  setTimeout(() => {
    const resources = [...new Set(process.getActiveResourcesInfo())]
    log.warn({ resources }, 'something was left open; the process ends all the same')
    void appLog.flush().finally(() => process.exit(code))
  }, EMPTY_LOOP_MS).unref()
}
