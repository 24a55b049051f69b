/** Ends this process with SIGKILL at the moment that CHAOS_MOMENT names, the CHAOS_AFTERth time, and writes that down. */
import { subscribe } from 'node:diagnostics_channel'
import type { Recorder } from '../record.ts'

export function dieAtMoment(recorder: Recorder): void {
  const { CHAOS_MOMENT: moment, CHAOS_AFTER: after = '1' } = process.env
  if (moment === undefined) return
  let left = Number(after)
  subscribe(`sluice:${moment}`, () => {
    left -= 1
    if (left > 0) return
    recorder.write({ f: 'kill', at: moment })
    process.kill(process.pid, 'SIGKILL')
  })
}
