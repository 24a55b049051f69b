/**
 * What the processes of a chaos run write down, outside of everything that is under test: one line of JSON per fact in a
 * file that is only ever appended to. A line is one write of less than 4 KiB to a file opened for appending, so lines of
 * several processes never mix, and what was written before a SIGKILL is there.
 */
import { closeSync, openSync, readFileSync, readSync, writeSync } from 'node:fs'

/** Each fact has the wall clock of the machine, which all processes of a run share. */
export type Fact =
  /** A client is about to hand something in. Without an `ok` nobody knows what became of it: it never counts as lost. */
  | { readonly t: number; readonly pid: number; readonly f: 'invoke'; readonly id: string; readonly how: How }
  /** It was acknowledged. */
  | { readonly t: number; readonly pid: number; readonly f: 'ok'; readonly id: string }
  /** A handler began. */
  | {
      readonly t: number
      readonly pid: number
      readonly f: 'start'
      readonly id: string
      readonly by: string
      readonly attempt: number
    }
  /** The handler's effect, for those whose effect is this line. */
  | {
      readonly t: number
      readonly pid: number
      readonly f: 'effect'
      readonly id: string
      readonly by: string
    }
  /** The handler is through. */
  | { readonly t: number; readonly pid: number; readonly f: 'end'; readonly id: string; readonly by: string }
  /** Its process stops, and it was told to end before it was through: its job is given back. */
  | {
      readonly t: number
      readonly pid: number
      readonly f: 'released'
      readonly id: string
      readonly by: string
    }
  /** What the run did to a process, or, with a moment, the process to itself. */
  | {
      readonly t: number
      readonly pid: number
      readonly f: 'kill' | 'freeze' | 'thaw' | 'term'
      readonly at?: string
    }
  /** What it did to the broker, and that all is as it was. */
  | { readonly t: number; readonly pid: number; readonly f: 'broken' | 'healed'; readonly fault: string }

/**
 * How it was handed in: by itself, with a transaction that commits, with one that is rolled back (it must never run), or
 * as one of a key, whose order is held. `key` and `seq` are of the latter.
 */
export type How =
  | { readonly kind: 'plain' | 'tx' | 'rolled-back' }
  | { readonly kind: 'keyed'; readonly key: string; readonly seq: number }

type Bare<T> = T extends unknown ? Omit<T, 't' | 'pid'> : never

export class Recorder {
  readonly #fd: number

  constructor(file: string) {
    this.#fd = openSync(file, 'a')
  }

  write(fact: Bare<Fact>, pid = process.pid): void {
    writeSync(this.#fd, `${JSON.stringify({ t: Date.now(), pid, ...fact })}\n`)
  }

  close(): void {
    closeSync(this.#fd)
  }
}

/** Facts as they are written: each call gives those that came since the last one. */
export class Tail {
  readonly #fd: number
  #rest: Buffer = Buffer.alloc(0)
  #offset = 0

  constructor(file: string) {
    this.#fd = openSync(file, 'r')
  }

  read(): readonly Fact[] {
    const chunks = [this.#rest]
    for (;;) {
      const chunk = Buffer.alloc(65_536)
      const read = readSync(this.#fd, chunk, 0, chunk.length, this.#offset)
      if (read === 0) break
      this.#offset += read
      chunks.push(chunk.subarray(0, read))
    }
    const text = Buffer.concat(chunks)
    const end = text.lastIndexOf(10) + 1
    this.#rest = text.subarray(end)
    const lines = text.toString('utf8', 0, end).split('\n')
    lines.pop()
    return lines.map((line) => JSON.parse(line) as Fact)
  }

  close(): void {
    closeSync(this.#fd)
  }
}

/** All facts in the order of the file; a last line without its end was cut by a kill and is left out. */
export function readFacts(file: string): readonly Fact[] {
  const lines = readFileSync(file, 'utf8').split('\n')
  lines.pop()
  return lines.map((line) => JSON.parse(line) as Fact)
}
