/** Publish and subscribe within this process. */
import type { ChannelListener } from '../backend.ts'
import { globToRegExp } from './glob.ts'
import type { CommandFunction } from './table.ts'

interface Listening {
  readonly listener: ChannelListener
  readonly pattern: RegExp | undefined
}

export class Channels {
  readonly #listening = new Set<Listening>()
  readonly commands: ReadonlyMap<string, CommandFunction> = new Map([
    ['PUBLISH', (_store, args) => this.#publish(args.text(), args.text())],
  ])

  get size(): number {
    return this.#listening.size
  }

  listen(listener: ChannelListener): () => void {
    const entry = { listener, pattern: listener.pattern ? globToRegExp(listener.channel) : undefined }
    this.#listening.add(entry)
    listener.onLive(false)
    return () => void this.#listening.delete(entry)
  }

  clear(): void {
    this.#listening.clear()
  }

  /** How many received it. */
  #publish(channel: string, message: string): number {
    let count = 0
    for (const { listener, pattern } of this.#listening) {
      if (pattern === undefined ? listener.channel !== channel : !pattern.test(channel)) continue
      listener.onMessage(message, channel)
      count += 1
    }
    return count
  }
}
