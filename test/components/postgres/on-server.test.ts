import { conformance } from './conformance.ts'
import { connected, skip } from './support.ts'

conformance((options) => connected(options), skip)
