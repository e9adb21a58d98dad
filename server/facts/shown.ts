/** Text of a stranger, made fit for a log: one line, no control or direction characters, not long. */

// Control characters, marks that turn or hide text, line and paragraph separators, halves of surrogate pairs.
const unfit = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]+/gu;

export function shown(text: string | undefined, lengthMax: number): string | undefined {
  if (text === undefined) return undefined;
  // Cut first, since it may be very long, and with room for what cleaning takes away.
  const clean = text
    .slice(0, 2 * lengthMax)
    .replace(unfit, " ")
    .trim()
    .slice(0, lengthMax);
  const last = clean.charCodeAt(clean.length - 1);
  return last >= 0xd800 && last <= 0xdbff ? clean.slice(0, -1) : clean;
}
