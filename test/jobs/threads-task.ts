/** A job in a thread: what it does is said by its data. */
interface Given {
  readonly data: { readonly do: 'sum' | 'loop' | 'crash' | 'throw'; readonly upTo: number }
  readonly attempt: number
  readonly isLastAttempt: boolean
}

export function run({ data, attempt, isLastAttempt }: Given): unknown {
  // An attempt after the first one succeeds, so that what a thread's end left behind shows.
  if (data.do === 'sum' || attempt > 1)
    return { sum: (data.upTo * (data.upTo + 1)) / 2, attempt, isLastAttempt }
  if (data.do === 'throw') throw new Error('the task failed')
  if (data.do === 'crash') process.exit(7)
  for (;;);
}
