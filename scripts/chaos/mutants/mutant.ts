/** A guarantee that is taken out of the source on purpose, to see that somebody notices. */

export interface Mutant {
  /** Such as `claim-without-skip-locked`. */
  readonly name: string
  /** The guarantee that is taken away, in words. */
  readonly takes: string
  readonly file: string
  /** Text of the file, which must be there exactly once. */
  readonly find: string
  readonly replace: string
  readonly proof: Proof
}

/** What has to fail: a test by its file and name, or a finding of a chaos run. */
export type Proof =
  | { readonly test: string; readonly name: string }
  | { readonly chaos: 'jobs' | 'events'; readonly finds: Finding }

export type Finding = 'lost' | 'phantoms' | 'duplicateEffects' | 'inversions'
