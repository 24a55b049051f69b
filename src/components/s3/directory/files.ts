/**
 * Files that stay: written, flushed, and their names flushed with the directory. Links are never followed: whoever may
 * write into the directory could otherwise lead us out of it.
 */
import { constants } from 'node:fs'
import { lstat, mkdir, open, readFile, realpath, rmdir, unlink, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { SluiceError } from '../../../core/errors.ts'
import { codeOf } from './failure.ts'

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY, O_DIRECTORY } = constants

export class Files {
  /** Of `objects`, with no link in it. */
  readonly root: string
  readonly #component: string

  constructor(component: string, root: string) {
    this.#component = component
    this.root = root
  }

  /** True when it is there; throws where a link would lead out of the root. */
  async isThere(segments: readonly string[]): Promise<boolean> {
    const path = join(this.root, ...segments)
    try {
      if ((await realpath(path)) === path) return true
    } catch (error) {
      if (isMissing(error)) return false
      throw error
    }
    throw this.#isLink(path)
  }

  /** Makes it where it is missing, durably. */
  async make(segments: readonly string[]): Promise<string> {
    const path = join(this.root, ...segments)
    if (await this.isThere(segments)) return path
    let at = this.root
    for (const segment of segments) {
      const parent = at
      at = join(at, segment)
      try {
        await mkdir(at, 0o700)
        await this.flush(parent)
      } catch (error) {
        if (codeOf(error) !== 'EEXIST') throw error
        if (!(await lstat(at)).isDirectory()) throw this.#isLink(at)
      }
    }
    return path
  }

  /** A new file in the directory of `segments`, which another process may take away while it is empty. */
  async create(segments: readonly string[], name: string): Promise<FileHandle> {
    for (let attempt = 1; ; attempt++) {
      const directory = await this.make(segments)
      try {
        return await open(join(directory, name), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
      } catch (error) {
        if (codeOf(error) !== 'ENOENT' || attempt === 10) throw error
      }
    }
  }

  /** Undefined where there is none. */
  async openToRead(path: string): Promise<FileHandle | undefined> {
    try {
      return await open(path, O_RDONLY | O_NOFOLLOW)
    } catch (error) {
      if (isMissing(error)) return undefined
      if (codeOf(error) === 'ELOOP') throw this.#isLink(path)
      throw error
    }
  }

  async readText(path: string): Promise<string | undefined> {
    const file = await this.openToRead(path)
    if (file === undefined) return undefined
    try {
      return await readFile(file, 'utf8')
    } finally {
      await file.close()
    }
  }

  /** What happened to the names in a directory is on disk when this resolves. */
  async flush(directory: string): Promise<void> {
    // Windows does not open directories, and writes names through by itself.
    if (process.platform === 'win32') return
    const handle = await open(directory, O_RDONLY | O_DIRECTORY)
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  }

  /** False when it was not there. */
  async remove(path: string): Promise<boolean> {
    try {
      await unlink(path)
      return true
    } catch (error) {
      if (isMissing(error)) return false
      throw error
    }
  }

  /** Takes away directories that are empty, from the innermost on. */
  async prune(segments: readonly string[]): Promise<void> {
    for (let depth = segments.length; depth > 0; depth--) {
      try {
        await rmdir(join(this.root, ...segments.slice(0, depth)))
      } catch {
        // Not empty, gone, or not ours to take away: it does no harm where it is.
        return
      }
    }
  }

  #isLink(path: string): SluiceError {
    return new SluiceError(
      'SLUICE_STORE_FAILED',
      `${this.#component}: ${path} is a link, which is not followed`,
      {
        hint: 'Look where it leads, and remove it.',
      },
    )
  }
}

function isMissing(error: unknown): boolean {
  const code = codeOf(error)
  return code === 'ENOENT' || code === 'ENOTDIR'
}
