/** The thread of watchdog.ts. It talks to the system directly: whatever goes through the main thread may never come out. */
import { writeSync } from 'node:fs'
import { Session } from 'node:inspector'
import { parentPort, workerData } from 'node:worker_threads'
import type { FromWatchdog, ToWatchdog, WatchdogData } from './watchdog.ts'

const { heartbeat, heartbeatMs, maxStallMs, graceMs, exitCode } = workerData as WatchdogData
const beats = new Int32Array(heartbeat)

/** A loop that hangs for so long is reported. */
const REPORT_MS = 1_000
/**
 * Until the main thread, asked to exit, is made to, and until the process is killed, which loses its code. Making it takes
 * the debugger, which took more than 700 ms on a machine with twenty times the work it can do.
 */
const PATIENCE_MS = 300
const KILL_MS = 3_000
const MAX_FRAMES = 12

let step = 'serving'
let deadline: NodeJS.Timeout | undefined
let deadlineAt = Infinity
let ending = false

parentPort?.on('message', (message: ToWatchdog) => {
  if (message.kind === 'step') {
    step = message.name
    return
  }
  const at = performance.now() + message.ms
  if (at >= deadlineAt) return
  deadlineAt = at
  clearTimeout(deadline)
  deadline = setTimeout(() => end(`the shutdown was not over after ${message.ms} ms`), message.ms + graceMs)
})

let last = -1
let stalledMs = 0
let stack: readonly string[] | undefined
let tickAt = performance.now()

setInterval(() => {
  const now = performance.now()
  const elapsed = now - tickAt
  tickAt = now
  const beat = Atomics.load(beats, 0)
  // A tick that is late itself says that the whole process stood still (SIGSTOP, a suspended machine), not its loop.
  if (beat !== last || elapsed > 4 * heartbeatMs) {
    if (stack !== undefined) send({ kind: 'stalled', ms: Math.round(stalledMs), stack })
    last = beat
    stalledMs = 0
    stack = undefined
    return
  }
  stalledMs += elapsed
  if (stalledMs >= REPORT_MS && stack === undefined) {
    stack = []
    sampleStack((frames) => {
      stack = frames
      say(`the event loop has been blocked for ${Math.round(stalledMs)} ms`, { stack: frames })
    })
  }
  if (stalledMs >= maxStallMs) end(`the event loop was blocked for ${Math.round(stalledMs)} ms`)
}, heartbeatMs)

function send(message: FromWatchdog): void {
  parentPort?.postMessage(message)
}

/** One line on standard error, whatever the main thread does. */
function say(msg: string, facts: object): void {
  try {
    writeSync(
      2,
      `${JSON.stringify({ level: 50, time: Date.now(), pid: process.pid, step, ...facts, msg })}\n`,
    )
  } catch {
    // There is nobody left to tell.
  }
}

/** Ends the process: by asking, by force from within, by a signal; whichever works first. */
function end(why: string): void {
  if (ending) return
  ending = true
  say(`${why}; "${step}" was under way; the process ends with code ${exitCode}`, {})
  send({ kind: 'exit', code: exitCode })
  setTimeout(() => interrupt(`process.reallyExit(${exitCode})`), PATIENCE_MS)
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), KILL_MS)
}

interface Frame {
  readonly callFrameId: string
  readonly functionName: string
  readonly location: { readonly scriptId: string; readonly lineNumber: number }
}

/** Stops the main thread wherever it is, as a debugger would, also in an endless loop. */
function pause(
  then: (frames: readonly Frame[], session: Session, urls: ReadonlyMap<string, string>) => void,
): void {
  try {
    const session = new Session()
    session.connectToMainThread()
    const urls = new Map<string, string>()
    session.on('Debugger.scriptParsed', ({ params }) => void urls.set(params.scriptId, params.url))
    session.once('Debugger.paused', ({ params }) =>
      then(params.callFrames as readonly Frame[], session, urls),
    )
    session.post('Debugger.enable')
    session.post('Debugger.pause')
  } catch {
    // Node was built without the inspector, or something holds it: the report goes without a stack.
  }
}

function sampleStack(then: (frames: readonly string[]) => void): void {
  pause((frames, session, urls) => {
    const shown = frames.slice(0, MAX_FRAMES).map(({ functionName, location: { scriptId, lineNumber } }) => {
      return `${functionName || '(anonymous)'} ${urls.get(scriptId) ?? ''}:${lineNumber + 1}`
    })
    session.post('Debugger.resume', () => session.disconnect())
    then(shown)
  })
}

function interrupt(expression: string): void {
  pause((frames, session) => {
    const callFrameId = frames[0]?.callFrameId
    if (callFrameId !== undefined) session.post('Debugger.evaluateOnCallFrame', { callFrameId, expression })
  })
}
