/** What the source delivers, on its way into the lanes. */
import type { Receiver } from './contract.ts'
import type { Lane } from './lanes/lane.ts'
import type { Lanes } from './lanes/lanes.ts'

export interface IntakeOptions extends Pick<Receiver, 'live' | 'reload' | 'disconnected'> {
  readonly lanes: Lanes
  /** Without a session nothing is taken: it comes again from the cursor of the next one. */
  readonly isOpen: () => boolean
}

export function intake({ lanes, isOpen, live, reload, disconnected }: IntakeOptions): Receiver {
  const laneOf = (name: string): Lane | undefined => (isOpen() ? lanes.lane(name) : undefined)
  const [first] = lanes.lanes
  return {
    message: (name, kind, id, json, data, at) => {
      const lane = laneOf(name)
      if (lane === undefined) return
      lane.receive(kind, id, json, data, at, lanes.turn())
      lanes.check(lane)
    },
    full: (name, bytes, idFrom, idTo, jsonFrom, jsonTo, at) => {
      const lane = laneOf(name)
      if (lane === undefined) return
      lane.receiveBytes(bytes, idFrom, idTo, jsonFrom, jsonTo, at, lanes.turn())
      lanes.check(lane)
    },
    reached: (at) => {
      if (!isOpen()) return
      lanes.positions.arrive(at)
      lanes.turn()
    },
    malformed: (text, reason, detail, name, at) => {
      const lane = laneOf(name ?? first?.spec.name ?? '')
      if (lane === undefined) return
      lane.bury(text, reason, detail, '', at, lanes.turn())
      lanes.check(lane)
    },
    live,
    reload,
    disconnected,
  }
}
