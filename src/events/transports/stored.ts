/** An event from a broker as handlers are given it: the same as one that was read from the log. */
import { StoredEvent } from '../decode.ts'
import type { EventHead } from '../encode.ts'
import type { Arrival } from './broker.ts'

type Facts = Pick<Arrival, 'id' | 'source' | 'time' | 'headers' | 'traceparent' | 'requestId'>

export function headOf({ id, source, time, headers, traceparent, requestId }: Facts): EventHead {
  return {
    ...(traceparent === undefined ? {} : { t: traceparent }),
    ...(requestId === undefined ? {} : { r: requestId }),
    ...(Object.keys(headers).length === 0 ? {} : { h: headers }),
    o: { s: source, i: id, t: time.getTime() },
  }
}

export function storedOf(arrival: Arrival): StoredEvent {
  const { id, topic, version, key = null, time, body } = arrival
  const head = JSON.stringify(headOf(arrival))
  return new StoredEvent({ id, topic: 0, version, at: time.getTime(), key, head, body }, topic)
}
