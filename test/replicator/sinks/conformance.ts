/** What a sink promises, wherever it keeps things. */
import { describe } from 'node:test'
import { applyConformance } from './conformance/apply.ts'
import { deadLettersConformance } from './conformance/dead-letters.ts'
import { fencingConformance } from './conformance/fencing.ts'
import { loadsConformance } from './conformance/loads.ts'
import { lookupsConformance } from './conformance/lookups.ts'
import { modelConformance } from './conformance/model.ts'
import { partialsConformance } from './conformance/partials.ts'
import type { Stage } from './support.ts'

/** `stage`: a new, empty store. `skip`: why it cannot run here. */
export function sinkConformance(name: string, stage: () => Promise<Stage>, skip: string | false): void {
  describe(`sink: ${name}`, { skip, concurrency: true }, () => {
    applyConformance(stage)
    partialsConformance(stage)
    lookupsConformance(stage)
    deadLettersConformance(stage)
    fencingConformance(stage)
    loadsConformance(stage)
    modelConformance(stage)
  })
}
