import { currentContext } from 'sluice'
import { withTransfer } from 'sluice/threads'

export function run(what: 'request' | 'bytes'): unknown {
  if (what === 'request') return currentContext()?.requestId
  const bytes = new Uint8Array(1_000)
  return withTransfer(bytes, [bytes.buffer])
}
