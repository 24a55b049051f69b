/** The faults of a connection, as data, and the verbs that set them. */
import { durationMs, type Duration } from '../core/duration.ts'
import { SluiceError } from '../core/errors.ts'

/** `up` is from the client to the server, `down` the way back. */
export type FaultDirection = 'up' | 'down' | 'both'
/** One of the two ways. */
export type FaultWay = 'up' | 'down'

/** What a hook makes of the bytes: other bytes, nothing (undefined), or the end of the connection. */
export type Intercept = (bytes: Buffer, way: FaultWay) => Buffer | 'reset' | undefined

/** What is wrong with one way of a connection. */
export interface WayFaults {
  latencyMs: number
  jitterMs: number
  /** Bytes a second; Infinity for no limit. */
  bandwidth: number
  /** Most bytes in one write; Infinity for no limit. */
  sliceBytes: number
  /** Nothing is passed on and nothing is lost: what was sent waits until the fault ends. */
  held: boolean
  /** Everything sent is lost. */
  dropped: boolean
  /** One byte in so many is changed; 0 for none. */
  corruptEvery: number
  /** The end of the sending side is not passed on. */
  endSwallowed: boolean
  closeDelayMs: number
  intercept: Intercept | undefined
}

export interface FaultState {
  readonly up: WayFaults
  readonly down: WayFaults
  /** Bytes of both ways after which the connection is reset; Infinity for never. */
  resetAfterBytes: number
}

function healthyWay(): WayFaults {
  return {
    latencyMs: 0,
    jitterMs: 0,
    bandwidth: Infinity,
    sliceBytes: Infinity,
    held: false,
    dropped: false,
    corruptEvery: 0,
    endSwallowed: false,
    closeDelayMs: 0,
    intercept: undefined,
  }
}

export function healthy(): FaultState {
  return { up: healthyWay(), down: healthyWay(), resetAfterBytes: Infinity }
}

export function copyFaults(state: FaultState): FaultState {
  return { up: { ...state.up }, down: { ...state.down }, resetAfterBytes: state.resetAfterBytes }
}

/**
 * The verbs, which a proxy has for all its connections, the present and the coming, and each connection for itself.
 * Faults add up; `heal` ends them all. Wrong values throw SLUICE_INVALID_ARGUMENT.
 */
export interface FaultVerbs {
  /** Ends every fault; what was held back arrives. */
  heal(): void
  /** Delays every byte, keeping their order, by `by` and up to `jitter` more. @default jitter 0, direction 'both' */
  latency(by: Duration, options?: { readonly jitter?: Duration; readonly direction?: FaultDirection }): void
  /** Passes at most so many bytes a second. @default direction 'both' */
  bandwidth(bytesPerSecond: number, options?: { readonly direction?: FaultDirection }): void
  /** Passes at most so many bytes in one write. @default direction 'both' */
  slice(bytes: number, options?: { readonly direction?: FaultDirection }): void
  /** A network that is cut without a word: nothing arrives, no end either, until `heal`. @default 'both' */
  blackhole(direction?: FaultDirection): void
  /** What is sent is lost while the connection stays. @default 'down' */
  drop(direction?: FaultDirection): void
  /** When one side ends or dies, the other is not told. @default 'both' */
  halfOpen(direction?: FaultDirection): void
  /** Resets (RST) those that are open now; with `afterBytes`, each, the coming ones too, after so many more bytes. */
  reset(options?: { readonly afterBytes?: number }): void
  /** Passes the end of a side on so much later. @default direction 'both' */
  slowClose(by: Duration, options?: { readonly direction?: FaultDirection }): void
  /** Changes one byte in each `every`, at places drawn from the proxy's seed. @default direction 'down' */
  corrupt(options: { readonly every: number; readonly direction?: FaultDirection }): void
  /** Shows each chunk to `hook`, which may change it, lose it or reset the connection. @default 'both' */
  intercept(hook: Intercept, direction?: FaultDirection): void
}

/** Verbs that write `state` and then call `changed`. */
export function faultVerbs(state: FaultState, changed: () => void): FaultVerbs {
  const set = (direction: FaultDirection, faults: Partial<WayFaults>): void => {
    for (const way of waysOf(direction)) Object.assign(state[way], faults)
    changed()
  }
  return {
    heal() {
      Object.assign(state.up, healthyWay())
      Object.assign(state.down, healthyWay())
      state.resetAfterBytes = Infinity
      changed()
    },
    latency: (by, { jitter = 0, direction = 'both' } = {}) =>
      set(direction, { latencyMs: durationMs(by, 'latency'), jitterMs: durationMs(jitter, 'jitter') }),
    bandwidth: (bytesPerSecond, { direction = 'both' } = {}) =>
      set(direction, { bandwidth: atLeastOne('bandwidth', bytesPerSecond) }),
    slice: (bytes, { direction = 'both' } = {}) => set(direction, { sliceBytes: atLeastOne('slice', bytes) }),
    blackhole: (direction = 'both') => set(direction, { held: true }),
    drop: (direction = 'down') => set(direction, { dropped: true }),
    halfOpen: (direction = 'both') => set(direction, { endSwallowed: true }),
    reset({ afterBytes = 0 } = {}) {
      state.resetAfterBytes = afterBytes === 0 ? 0 : atLeastOne('reset.afterBytes', afterBytes)
      changed()
    },
    slowClose: (by, { direction = 'both' } = {}) =>
      set(direction, { closeDelayMs: durationMs(by, 'slowClose') }),
    corrupt: ({ every, direction = 'down' }) =>
      set(direction, { corruptEvery: atLeastOne('corrupt.every', every) }),
    intercept: (hook, direction = 'both') => set(direction, { intercept: hook }),
  }
}

function waysOf(direction: FaultDirection): readonly FaultWay[] {
  switch (direction) {
    case 'both':
      return ['up', 'down']
    case 'up':
    case 'down':
      return [direction]
    default:
      throw new SluiceError(
        'SLUICE_INVALID_ARGUMENT',
        `direction: expected 'up', 'down' or 'both', got ${JSON.stringify(direction satisfies never)}`,
      )
  }
}

function atLeastOne(option: string, value: number): number {
  if (Number.isInteger(value) && value >= 1) return value
  throw new SluiceError(
    'SLUICE_INVALID_ARGUMENT',
    `${option}: expected a whole number of at least 1, got ${JSON.stringify(value)}`,
  )
}
