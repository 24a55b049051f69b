export const run = (data) => `compiled ${data}`
