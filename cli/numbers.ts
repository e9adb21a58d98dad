/** Numbers as people read them. */

export function grouped(value: number): string {
  return value.toLocaleString("en-US");
}

const units = ["KiB", "MiB", "GiB", "TiB", "PiB"];

/** "1,234 bytes", from 10 KiB on with a rounded value behind it. */
export function bytes(value: number): string {
  const exact = `${grouped(value)} ${value === 1 ? "byte" : "bytes"}`;
  if (value < 10_240) return exact;
  let rounded = value / 1024;
  let unit = 0;
  while (rounded >= 1024 && unit < units.length - 1) {
    rounded /= 1024;
    unit++;
  }
  return `${exact} (${rounded.toFixed(1)} ${units[unit]})`;
}
