/** The service under faults in this process, on servers of the test's own. */
import { serviceUnderFaults, type FaultComponents, type FaultOptions } from '../programs/service.ts'
import type { App } from '../../../src/index.ts'
import { recordingLogger, type RecordedLine } from '../../telemetry/recording-logger.ts'
import { missingServerProgram } from '../../components/redis/own-server.ts'

export const skip = await missingServerProgram()

export interface ServiceHere extends AsyncDisposable {
  readonly app: App<FaultComponents>
  readonly url: string
  readonly lines: readonly RecordedLine[]
}

export async function startHere(
  addresses: { readonly dsn: string; readonly addr: string },
  options: FaultOptions = {},
): Promise<ServiceHere> {
  const lines: RecordedLine[] = []
  const app = serviceUnderFaults({
    env: { POSTGRES_DSN: addresses.dsn, REDIS_ADDR: addresses.addr },
    logger: recordingLogger(lines),
    ...options,
  })
  await app.start()
  return {
    app,
    url: app.address.url,
    lines,
    async [Symbol.asyncDispose]() {
      await app.stop()
    },
  }
}
