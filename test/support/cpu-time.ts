/** Milliseconds of processor time that this process has had: of hard work it tells the same on a busy machine. */
export function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}
