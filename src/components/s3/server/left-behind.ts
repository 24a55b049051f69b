/** Uploads in parts that could not be aborted as the service was away: kept in mind until it is back. */
import type { UploadId } from './multipart.ts'

/** Beyond this the sweep has to find them. */
const MAX_KEPT = 1_000

export class LeftBehind {
  readonly #kept = new Map<string, UploadId>()
  readonly #abort: (upload: UploadId, signal: AbortSignal) => Promise<boolean>

  /** `abort` rejects where the service could not be asked. */
  constructor(abort: (upload: UploadId, signal: AbortSignal) => Promise<boolean>) {
    this.#abort = abort
  }

  get size(): number {
    return this.#kept.size
  }

  add(upload: UploadId): void {
    if (this.#kept.size < MAX_KEPT) this.#kept.set(upload.id, upload)
  }

  /** One after another, for as long as the service answers. Never rejects. */
  async clear(signal: AbortSignal): Promise<void> {
    for (const upload of this.#kept.values()) {
      if (signal.aborted) return
      try {
        await this.#abort(upload, signal)
        this.#kept.delete(upload.id)
      } catch {
        return
      }
    }
  }
}
