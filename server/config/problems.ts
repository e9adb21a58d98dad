/** What is wrong in files that people write: all of it at once, each with its place. */

export interface Problem {
  /** "FILE:LINE" or as near to it as is known. */
  readonly place: string;
  readonly text: string;
}

/** More would hide the first ones from view. */
const SHOWN_MAX = 20;

export function formatProblems(problems: readonly Problem[]): string {
  const lines = problems.slice(0, SHOWN_MAX).map(({ place, text }) => `${place}: ${text}`);
  if (problems.length > SHOWN_MAX) lines.push(`and ${problems.length - SHOWN_MAX} more`);
  return lines.join("\n");
}

/** A configuration that cannot be used. The message has a line for each problem. */
export class ConfigError extends Error {
  override name = "ConfigError";
  readonly code = "CONFIG";
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(formatProblems(problems));
    this.problems = problems;
  }
}

/** Users or aliases that cannot be used: what was loaded before stays good. */
export class RecipientsError extends Error {
  override name = "RecipientsError";
  readonly code = "RECIPIENTS";
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(formatProblems(problems));
    this.problems = problems;
  }
}

/** A value as an error shows it: whole when it is short, on one line. */
export function shown(value: unknown): string {
  const text = value instanceof Date ? value.toISOString() : (JSON.stringify(value) ?? "nothing");
  return text.length <= 60 ? text : `${text.slice(0, 57)}...`;
}
