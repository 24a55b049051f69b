// Preloaded: measures the longest time for which the event loop did not turn, and tells it when asked.
let last = performance.now()
let longest = 0
const timer = setInterval(() => {
  const now = performance.now()
  longest = Math.max(longest, now - last)
  last = now
}, 1)
timer.unref()
process.on('message', () => process.send(longest))
process.channel?.unref()
