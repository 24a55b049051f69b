/** What an s3 component promises, whatever stands behind it. Runs on a service and over a directory. */
import { describe } from 'node:test'
import type { S3Options } from '../../../src/components/s3/index.ts'
import type { OpenComponentOptions } from '../../../src/testing/connect-component.ts'
import { argumentsConformance } from './conformance/arguments.ts'
import { batchesConformance } from './conformance/batches.ts'
import { endingsConformance } from './conformance/endings.ts'
import { listsConformance } from './conformance/lists.ts'
import { objectsConformance } from './conformance/objects.ts'
import { streamsConformance } from './conformance/streams.ts'
import type { Stage } from './support.ts'

/** A connected component whose keys are its own. */
export type StageFactory = (options?: S3Options, more?: OpenComponentOptions) => Promise<Stage>

/** `skip`: why it cannot run here. */
export function s3Conformance(name: string, stage: StageFactory, skip: string | false): void {
  describe(`s3: ${name}`, { skip, timeout: 300_000 }, () => {
    objectsConformance(stage)
    streamsConformance(stage)
    listsConformance(stage)
    batchesConformance(stage)
    argumentsConformance(stage)
    endingsConformance(stage)
  })
}
