import { s3Conformance } from './conformance.ts'
import { directoryStage, missingService, serviceStage } from './support.ts'

const skip = await missingService()

s3Conformance('over a directory', directoryStage, false)
s3Conformance('on a service', serviceStage, skip)
