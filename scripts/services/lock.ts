/** A file that one process holds at a time; one whose holder has gone is taken over. */
import { open, readFile, rm } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { birthOf } from './process.ts'

/** Longer than the slowest start. */
const LIMIT_MS = 600_000

export async function holdLock(path: string): Promise<AsyncDisposable> {
  const until = performance.now() + LIMIT_MS
  for (;;) {
    try {
      const file = await open(path, 'wx')
      await file.writeFile(`${process.pid} ${await birthOf(process.pid)}`)
      await file.close()
      return { [Symbol.asyncDispose]: () => rm(path, { force: true }) }
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
    }
    const [pid, birth] = (await readFile(path, 'utf8').catch(() => '')).split(' ')
    const isWritten = birth !== undefined && birth !== ''
    if (isWritten && (await birthOf(Number(pid))) !== birth) await rm(path, { force: true })
    else if (performance.now() > until)
      throw new Error(`${path} is held by process ${pid}; remove it when that is wrong`)
    else await sleep(100)
  }
}
