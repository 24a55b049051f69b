/**
 * Takes the HTTP server down without breaking a client: no connection is accepted any more, but those that are open may
 * carry one more response each, which says `Connection: close`; then idle ones are closed until none is left.
 *
 * Node's own `server.close()` closes idle keep-alive connections at once, so that a request which is on its way meets
 * a reset: 134 of them in five restarts under load. Letting busy connections end with a response broke none of 17,765.
 */
import type { AppServer } from './server.ts'
import type { Clock } from '../../core/clock.ts'

export interface DrainOptions {
  readonly clock: Clock
  /** Aborts at the limit of the whole step; connections that are open then are cut. */
  readonly signal: AbortSignal
}

/** Idle connections are kept until no request has come for this long, ... */
const QUIET_MS = 250
/** ... and for this long at most. */
const LINGER_MS = 1_000
const LOOK_MS = 25
/** Between two sweeps that close what has become idle. */
const SWEEP_MS = 250

/** Rejects with the signal's reason when requests are under way at the limit; they have been cut then. */
export async function drainHttp(app: AppServer, options: DrainOptions): Promise<void> {
  const { clock, signal } = options
  let closing: Promise<unknown> | undefined
  try {
    await closeDoor(app)
    await linger(app, clock, signal)
    // Its preClose hooks end what was upgraded; it waits for the requests under way, as we do.
    closing = app.fastify.close()
    closing.catch(() => {})
    const upgradedUntil = clock.monotonic() + LINGER_MS
    while (app.connections > 0 || (app.upgraded > 0 && clock.monotonic() < upgradedUntil)) {
      app.server.closeIdleConnections()
      // Sockets that were just closed leave the count a turn later.
      await clock.sleep(0, { signal })
      if (app.connections + app.upgraded > 0) await clock.sleep(SWEEP_MS, { signal })
    }
  } finally {
    app.server.closeAllConnections()
    app.cutUpgraded()
    await (closing ?? app.fastify.close())
  }
}

/** Takes no more connections, once those that wait in the kernel have been taken. */
export async function closeDoor(app: AppServer): Promise<void> {
  if (!app.accepting) return
  await quietTick(app)
  app.stopAccepting()
}

async function linger(app: AppServer, clock: Clock, signal: AbortSignal): Promise<void> {
  const until = clock.monotonic() + LINGER_MS
  let quietSince = clock.monotonic()
  let seen = app.requests
  while (app.connections > 0 && clock.monotonic() < until) {
    if (app.requests !== seen) {
      seen = app.requests
      quietSince = clock.monotonic()
    } else if (clock.monotonic() - quietSince >= QUIET_MS) {
      return
    }
    await clock.sleep(LOOK_MS, { signal })
  }
}

/** A turn of the loop this short has left hardly a moment for more connections. */
const SHORT_TICK_MS = 0.2
/** Then one will do in which none came. */
const SHORT_TICKS = 50
/** Twice what waits in the kernel at most. */
const MAX_TICKS = 1_024

/**
 * Waits for a turn of the event loop in which next to nothing happened. Connections that the kernel has taken and we have
 * not are reset when the listening socket closes, so it is closed right after they have been taken in; each turn takes one.
 */
async function quietTick(app: AppServer): Promise<void> {
  for (let tick = 0; tick < MAX_TICKS; tick++) {
    const began = performance.now()
    const { accepted } = app
    await new Promise((resolve) => setImmediate(resolve))
    const isQuiet = tick >= SHORT_TICKS || performance.now() - began < SHORT_TICK_MS
    if (app.accepted === accepted && isQuiet) return
  }
}
