/** Places of change streams in a collection: one document each. */
import type { Document, ResumeToken } from 'mongodb'
import { invalidArgument } from '../../core/errors.ts'
import type { ResumeStore } from './api.ts'
import { send } from './call.ts'
import { plainScope, specPair, type DatabaseHost } from './host.ts'

const LOAD = specPair('loadResumeToken')
const SAVE = specPair('saveResumeToken')

interface Place extends Document {
  readonly _id: string
  readonly token: ResumeToken
  readonly savedAt: Date
}

export function resumeStore(
  host: DatabaseHost,
  name: string,
  collection = 'sluice_resume_tokens',
): ResumeStore {
  if (typeof name !== 'string' || name === '')
    throw invalidArgument('the name of a resume store', 'a text', name)
  const scope = plainScope(host)
  return {
    load: () =>
      send(scope, {
        spec: LOAD,
        target: collection,
        repeatable: true,
        options: undefined,
        body: async (db, command) =>
          (await db.collection<Place>(collection).findOne({ _id: name }, command))?.token as ResumeToken,
      }),
    save: (token) =>
      send(scope, {
        spec: SAVE,
        target: collection,
        repeatable: true,
        options: undefined,
        body: async (db, command) => {
          await db
            .collection<Place>(collection)
            .updateOne(
              { _id: name },
              { $set: { token, savedAt: new Date(host.clock.now()) } },
              { upsert: true, ...command },
            )
        },
      }),
  }
}
