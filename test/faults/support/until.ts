/** Asks again until the answer is as wanted. The test's own limit ends a wait that is in vain. */
export async function until<T>(ask: () => PromiseLike<T>, isEnough: (answer: T) => boolean): Promise<T> {
  for (;;) {
    const answer = await ask()
    if (isEnough(answer)) return answer
    // Other processes do the work: it is the database that has to be asked.
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
