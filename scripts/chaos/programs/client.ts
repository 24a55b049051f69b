/** What clients of every scenario do: hand something in, write down what they were told, again and again. */
import { inspect } from 'node:util'
import { createApp } from '../../../src/index.ts'
import type { Components } from '../../../src/app/service.ts'
import { hasCode } from '../../../src/core/errors.ts'
import { silentLogger, type Logger } from '../../../src/telemetry/log.ts'
import { Recorder, type How } from '../record.ts'
import { dieAtMoment } from './die.ts'
import { setting } from './setting.ts'

/** Process ids come again. */
const SELF = `${process.pid}${Date.now().toString(36)}`
const KEYS = 3
/** Between two of a caller: the workers of a small machine keep up with that. Where more is done for each, it is longer. */
const PAUSE_MS = Number(process.env['CHAOS_PAUSE_MS'] ?? 40)

/** Thrown inside of a transaction to have it rolled back. */
export const rollback = new Error('rolled back on purpose')

export class Client {
  readonly recorder = new Recorder(setting.file)
  #stopping = false
  #count = 0

  stop(): void {
    this.#stopping = true
  }

  /** One at a time, each with an id of its own. */
  async repeat(kind: Exclude<How['kind'], 'keyed'>, handIn: (id: string) => Promise<unknown>): Promise<void> {
    while (!this.#stopping) {
      const id = `${SELF}-${(this.#count += 1)}`
      await this.#record(id, { kind }, () => (kind === 'rolled-back' ? undone(handIn(id)) : handIn(id)))
    }
  }

  /** One at a time for each of some keys: the next only after the one before was answered. */
  repeatByKey(handIn: (id: string, key: string) => Promise<unknown>): void {
    for (let i = 0; i < KEYS; i += 1) void this.#byKey(`${SELF}k${i}-`, handIn)
  }

  async #byKey(key: string, handIn: (id: string, key: string) => Promise<unknown>): Promise<void> {
    for (let seq = 0; !this.#stopping; seq += 1) {
      await this.#record(`${key}${seq}`, { kind: 'keyed', key, seq }, () => handIn(`${key}${seq}`, key))
    }
  }

  /** Without an answer nobody knows: it is not told `ok`, and not tried again. */
  async #record(id: string, how: How, work: () => Promise<unknown>): Promise<void> {
    this.recorder.write({ f: 'invoke', id, how })
    try {
      await work()
      this.recorder.write({ f: 'ok', id })
    } catch {
      // Unknown.
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
  }
}

async function undone(work: Promise<unknown>): Promise<void> {
  await work.catch((error: unknown) => {
    if (error !== rollback) throw error
  })
}

/** Errors alone, for the run to say with what a process ended that nobody ended. */
const errorsToStderr: Logger = {
  ...silentLogger,
  error: (what, message) => void process.stderr.write(`${inspect(what)} ${message ?? ''}\n`),
  child: () => errorsToStderr,
}

/** An app that logs its errors alone, on no port that anyone knows. */
export function chaosApp<const C extends Components>(
  name: string,
  components: C,
): ReturnType<typeof createApp<C>> {
  return createApp({
    name,
    components,
    env: { APP_PORT: '0', APP_HOST: '127.0.0.1' },
    configFile: false,
    logger: errorsToStderr,
  })
}

/** Starts it, tells the run when it works, and ends with a SIGTERM, or at the moment that the run has chosen. */
export async function runApp(
  app: {
    start(): Promise<void>
    stop(): Promise<number>
    readonly init: { ready(): Promise<void> }
  },
  recorder: Recorder,
  beforeStop: () => void = () => {},
): Promise<void> {
  process.once('SIGTERM', () => {
    beforeStop()
    void app.stop().then((code) => process.exit(code))
  })
  // Its parent is gone: nobody would end it.
  process.once('disconnect', () => process.exit(1))
  try {
    await app.start()
    await app.init.ready()
  } catch (error) {
    // Told to stop while it came up.
    if (hasCode(error, 'SLUICE_SHUTDOWN')) return
    throw error
  }
  dieAtMoment(recorder)
  process.send?.('ready')
}
