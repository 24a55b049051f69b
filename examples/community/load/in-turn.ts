/** Does something for each item, so many at once. */
export async function inTurn<Item>(
  atOnce: number,
  items: readonly Item[],
  work: (item: Item, index: number) => Promise<unknown>,
): Promise<void> {
  const queue = items.entries()
  const hands = Array.from({ length: atOnce }, async () => {
    for (const [index, item] of queue) await work(item, index)
  })
  await Promise.all(hands)
}
