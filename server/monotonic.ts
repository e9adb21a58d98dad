/**
 * Milliseconds of the kernel's monotonic clock: the same in all processes of the machine, and a change of the date
 * does not move it.
 */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
