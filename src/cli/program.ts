/** Imports the program of a user, to run it or only to look at the apps that it makes. */
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { SluiceError } from '../core/errors.ts'
import { installInspector, type InspectedApp } from '../app/inspection-hook.ts'

/** How long a program that was imported may take until it has made its app. */
const CREATION_LIMIT_MS = 10_000

export function noApp(file: string, when: string): SluiceError {
  return new SluiceError('SLUICE_INVALID_ARGUMENT', `${file} made no app ${when}; it must call createApp`)
}

/** Imports `file`; rejects with what the program throws. */
export async function importProgram(file: string, cwd: string): Promise<void> {
  await import(pathToFileURL(resolve(cwd, file)).href)
}

/**
 * The app that `file` makes, without starting it: `start` and `run` of each app hold, so that the program stops there.
 * Code before that runs as ever. @throws SLUICE_INVALID_ARGUMENT when it makes none within 10 s
 */
export async function inspectProgram(file: string, cwd: string): Promise<InspectedApp> {
  const created = Promise.withResolvers<InspectedApp>()
  const starting = Promise.withResolvers<InspectedApp>()
  const hook = installInspector({
    created: (app) => created.resolve(app),
    starting: (app) => {
      starting.resolve(app)
      return 'hold'
    },
  })
  const none = Promise.withResolvers<never>()
  const give = (when: string): void => none.reject(noApp(file, when))
  // With nothing left to happen, none will come; a program that keeps itself alive is given up after a while.
  const ended = (): void => give('before it ended')
  process.once('beforeExit', ended)
  const timer = setTimeout(() => give(`within ${CREATION_LIMIT_MS / 1_000} s`), CREATION_LIMIT_MS)
  timer.unref()
  try {
    // A program that awaits app.start() never finishes its import; one that only exports its app never starts it.
    const imported = importProgram(file, cwd).then(() => created.promise)
    return await Promise.race([starting.promise, imported, none.promise])
  } finally {
    clearTimeout(timer)
    process.removeListener('beforeExit', ended)
    hook[Symbol.dispose]()
  }
}
