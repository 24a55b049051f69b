/**
 * Small helpers around AbortSignal.
 *
 * A long-lived signal handed to many calls collects listeners, so every helper here removes its own listener as soon
 * as it is done. An abort rejects with `signal.reason`, untouched.
 */

const nothing = (): void => {}

/** Calls `fn` once when the signal aborts, or at once when it has. Returns a function that takes the listener off. */
export function onAbort(signal: AbortSignal | undefined, fn: (reason: unknown) => void): () => void {
  if (signal === undefined) return nothing
  if (signal.aborted) {
    fn(signal.reason)
    return nothing
  }
  const listener = (): void => fn(signal.reason)
  signal.addEventListener('abort', listener, { once: true })
  return () => signal.removeEventListener('abort', listener)
}

/** Waits for `promise`, or rejects with the signal's reason. The promise itself goes on: its late result is ignored. */
export function waitOrAbort<T>(promise: PromiseLike<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return Promise.resolve(promise)
  return new Promise<T>((resolve, reject) => {
    const release = onAbort(signal, reject)
    promise.then(
      (value) => {
        release()
        resolve(value)
      },
      (error: unknown) => {
        release()
        reject(error)
      },
    )
  })
}

/** A controller of its own that also aborts when any of `signals` does. Call `release` when the call is over. */
export function deriveController(...signals: readonly (AbortSignal | undefined)[]): {
  readonly controller: AbortController
  readonly release: () => void
} {
  const controller = new AbortController()
  const releases = signals.map((signal) => onAbort(signal, (reason) => controller.abort(reason)))
  return { controller, release: () => releases.forEach((release) => release()) }
}
