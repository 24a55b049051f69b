/** The services of an app: each runs once, records what it needs, is gated until that is ready, and stops in reverse. */
import type { FastifyInstance } from 'fastify'
import type { ServiceMark } from './http/openapi.ts'
import { problem, retryAfterSeconds, type Problem } from './http/problem.ts'
import { sendProblem } from './http/server.ts'
import { recordingArgument, SkippedService } from './needs.ts'
import { requestLog } from './request-log.ts'
import { ServiceStart } from './service-start.ts'
import type { Closer } from './shutdown.ts'
import type { ServiceExtras, ServiceFunction, ServiceHandle, ServiceState, ServiceStatus } from './service.ts'
import { waitOrAbort } from '../core/abort.ts'
import { isThenable } from '../core/async-result.ts'
import type { Clock } from '../core/clock.ts'
import { SluiceError, toError } from '../core/errors.ts'
import type { Logger } from '../telemetry/log.ts'

export interface ServicesOptions {
  readonly clock: Clock
  readonly random: () => number
  readonly log: Logger
  readonly components: () => ReadonlyMap<string, object | undefined>
  readonly disabledReason: (component: string) => string
  /** Has the component been ready at least once? */
  readonly isReady: (component: string) => boolean
  /** Milliseconds until the next attempt to connect it. */
  readonly reconnectMs: (component: string) => number
  readonly extras: (service: string, http: FastifyInstance) => ServiceExtras
  readonly isEnabled: (service: string) => boolean
  /** Takes hosts and secrets out of a text. */
  readonly redact: (text: string) => string
}

interface Entry {
  readonly name: string
  readonly run: ServiceFunction<never>
  readonly needs: Set<string>
  /** One whose start fails goes on `starting`. */
  state: Exclude<ServiceState, 'failed'>
  /** Why it is skipped. */
  reason: string | undefined
  handle: ServiceHandle | undefined
  start: ServiceStart | undefined
  starting: Promise<void> | undefined
}

export class Services {
  readonly #options: ServicesOptions
  readonly #entries = new Map<string, Entry>()
  readonly #stop = new AbortController()
  #begun = false

  constructor(options: ServicesOptions) {
    this.#options = options
  }

  /** Adds a service; only before the app starts. */
  add(name: string, run: ServiceFunction<never>): void {
    if (this.#begun) {
      throw new SluiceError(
        'SLUICE_INVALID_ARGUMENT',
        `service "${name}": services are added before the app starts`,
      )
    }
    if (this.#entries.has(name)) {
      throw new SluiceError('SLUICE_INVALID_ARGUMENT', `service "${name}" is there already`)
    }
    const entry: Entry = {
      name,
      run,
      needs: new Set(),
      state: 'waiting',
      reason: undefined,
      handle: undefined,
      start: undefined,
      starting: undefined,
    }
    this.#entries.set(name, entry)
  }

  /** Runs every service in a scope of its own below `http`. What one throws rejects `http.ready()`. */
  registerOn(http: FastifyInstance): void {
    this.#begun = true
    for (const entry of this.#entries.values()) {
      if (!this.#options.isEnabled(entry.name)) {
        this.#skip(entry, `services.${entry.name} is false`)
        continue
      }
      void http.register((scope, _options, done) => {
        const mark: ServiceMark = { service: entry.name }
        scope.addHook('onRoute', (route) => {
          route.config = { ...route.config, ...mark }
        })
        const log = requestLog(this.#options.log.child({ service: entry.name }))
        scope.addHook('onRequest', (request, reply, next) => {
          request.log = log
          // After `stop` requests that are on their way are still served, until HTTP has drained.
          if (entry.state === 'running' || entry.state === 'stopped') next()
          else {
            const seconds = this.#retryAfter(entry)
            if (seconds !== undefined) void reply.header('retry-after', seconds)
            void sendProblem(reply, this.#notReady(entry, request.id))
          }
        })
        try {
          this.#run(entry, scope)
          done()
        } catch (error) {
          // Thrown, it would be an uncaught exception: Fastify takes errors of such a plugin only here.
          done(toError(error))
        }
      })
    }
  }

  /** Opens the services whose needs are ready by now. Called after every change of a component. */
  advance(): void {
    for (const entry of this.#entries.values()) {
      if (entry.state !== 'waiting' || this.#stop.signal.aborted) continue
      if (this.#waitingFor(entry).length > 0) continue
      if (entry.handle?.start === undefined) {
        entry.state = 'running'
        continue
      }
      entry.state = 'starting'
      entry.starting = this.#startUntilUp(entry, entry.handle).catch(() => {})
    }
  }

  status(): Readonly<Record<string, ServiceStatus>> {
    return Object.fromEntries([...this.#entries.values()].map((entry) => [entry.name, this.#statusOf(entry)]))
  }

  statusOf(name: string): ServiceStatus | undefined {
    const entry = this.#entries.get(name)
    return entry === undefined ? undefined : this.#statusOf(entry)
  }

  /** Is there one that has all it needs, and whose `start` has not succeeded? */
  get startsPending(): boolean {
    return [...this.#entries.values()].some(({ state }) => state === 'starting')
  }

  get names(): readonly string[] {
    return [...this.#entries.keys()]
  }

  /** What is to be stopped, in reverse order of registration. */
  stoppers(): readonly Closer[] {
    this.#stop.abort(new SluiceError('SLUICE_SHUTDOWN', 'the app is stopping'))
    return [...this.#entries.values()].toReversed().flatMap((entry) => {
      const wasUp = entry.state === 'running' || entry.state === 'starting'
      if (!wasUp) return []
      return [{ name: entry.name, close: (signal: AbortSignal) => this.#stopOne(entry, signal) }]
    })
  }

  async #stopOne(entry: Entry, signal: AbortSignal): Promise<void> {
    // A start that ignores its signal must not keep `stop` from being called.
    if (entry.starting !== undefined) await waitOrAbort(entry.starting, signal).catch(() => {})
    try {
      await entry.handle?.stop?.(signal)
    } finally {
      entry.state = 'stopped'
    }
  }

  #run(entry: Entry, scope: FastifyInstance): void {
    const { components, disabledReason, extras } = this.#options
    const argument = recordingArgument({
      service: entry.name,
      components: components(),
      reason: disabledReason,
      extras: { ...extras(entry.name, scope) },
      onNeed: (component) => entry.needs.add(component),
    })
    try {
      const handle = entry.run(argument as never)
      if (isThenable(handle)) {
        throw new SluiceError(
          'SLUICE_INVALID_ARGUMENT',
          `service "${entry.name}" is async; return { start } for what has to wait, for the port opens first`,
        )
      }
      entry.handle = handle ?? undefined
    } catch (error) {
      if (!(error instanceof SkippedService)) throw error
      this.#skip(entry, error.message)
    }
  }

  #skip(entry: Entry, reason: string): void {
    entry.state = 'skipped'
    entry.reason = reason
    this.#options.log.info({ service: entry.name, reason }, `service ${entry.name} is skipped`)
  }

  async #startUntilUp(entry: Entry, handle: ServiceHandle): Promise<void> {
    const { clock, random, log } = this.#options
    const start = (signal: AbortSignal): Promise<void> | void => handle.start?.(signal)
    entry.start = new ServiceStart({ service: entry.name, start, clock, random, log })
    await entry.start.run(this.#stop.signal)
    entry.state = 'running'
  }

  #statusOf(entry: Entry): ServiceStatus {
    const { name, needs, start } = entry
    const starting = entry.state === 'starting'
    const reason = starting ? start?.reason : entry.reason
    return {
      name,
      state: starting && start?.failed ? 'failed' : entry.state,
      needs: [...needs],
      waiting_for: entry.state === 'waiting' ? this.#waitingFor(entry) : [],
      reason: reason === undefined ? null : this.#options.redact(reason),
    }
  }

  #waitingFor(entry: Entry): readonly string[] {
    return [...entry.needs].filter((need) => !this.#options.isReady(need))
  }

  /** When it may be there: not before the next attempt at what it waits for. Undefined for one that never will be. */
  #retryAfter(entry: Entry): number | undefined {
    if (entry.state === 'skipped') return undefined
    const waits = this.#waitingFor(entry).map((need) => this.#options.reconnectMs(need))
    return retryAfterSeconds(Math.max(entry.start?.retryInMs ?? 0, ...waits))
  }

  #notReady(entry: Entry, requestId: string): Problem {
    const waiting = this.#waitingFor(entry)
    const detail =
      waiting.length > 0
        ? 'This service waits for what it needs, and answers once that is ready.'
        : 'This service is not running at the moment.'
    return problem(503, 'SERVICE_NOT_READY', { detail, request_id: requestId })
  }
}
