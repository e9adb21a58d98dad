/** Figures, their targets and how both are printed. */

/** One line of the table: what was measured, against what, and what was asked for. */
export interface Figure {
  readonly row: string;
  readonly work: string;
  readonly unit: string;
  /** Measurements of the spool, in order. The figure is their median. */
  readonly ours: readonly number[];
  /** Measurements of the plain directory, made in turn with ours. */
  readonly plain?: { readonly name: string; readonly values: readonly number[] };
  readonly target?: Target;
  readonly notes?: readonly string[];
}

export type Target =
  /** Of rates, where more is better. */
  | { readonly kind: "ratio"; readonly atLeast: number }
  /** Of times, where less is better. */
  | { readonly kind: "ratio"; readonly atMost: number }
  | { readonly kind: "value"; readonly atLeast: number }
  | { readonly kind: "value"; readonly atMost: number };

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

export function ratioOf(figure: Figure): number | undefined {
  return figure.plain === undefined ? undefined : median(figure.ours) / median(figure.plain.values);
}

/** undefined: nothing was asked for. */
export function passes(figure: Figure): boolean | undefined {
  const { target } = figure;
  if (target === undefined) return undefined;
  const value = target.kind === "ratio" ? (ratioOf(figure) ?? Number.NaN) : median(figure.ours);
  return "atLeast" in target ? value >= target.atLeast : value <= target.atMost;
}

export function formatFigure(figure: Figure): string {
  const ratio = ratioOf(figure);
  const lines = [
    `${figure.row}: ${figure.work}`,
    `  spool ${formatRuns(figure.ours)} ${figure.unit}`,
  ];
  if (figure.plain !== undefined) {
    lines.push(`  ${figure.plain.name} ${formatRuns(figure.plain.values)} ${figure.unit}`);
  }
  const verdict = formatVerdict(figure, ratio);
  if (verdict !== "") lines.push(`  ${verdict}`);
  for (const note of figure.notes ?? []) lines.push(`  ${note}`);
  return lines.join("\n");
}

export function formatTable(figures: readonly Figure[]): string {
  const rows = figures.map((figure) => {
    const plain = figure.plain === undefined ? "" : formatNumber(median(figure.plain.values));
    const ratio = ratioOf(figure);
    return [
      figure.row,
      `${formatNumber(median(figure.ours))} ${figure.unit}`,
      plain,
      ratio === undefined ? "" : `${ratio.toFixed(2)}x`,
      formatTarget(figure),
      { true: "PASS", false: "short", undefined: "" }[String(passes(figure)) as "true"],
    ];
  });
  const table = [["row", "spool", "plain", "ratio", "target", ""], ...rows];
  const widths = [0, 1, 2, 3, 4, 5].map((column) =>
    Math.max(...table.map((row) => row[column]?.length ?? 0)),
  );
  return table
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

function formatVerdict(figure: Figure, ratio: number | undefined): string {
  const parts: string[] = [];
  if (ratio !== undefined) parts.push(`ratio ${ratio.toFixed(2)}x`);
  if (figure.target !== undefined) {
    parts.push(`target ${formatTarget(figure)}`, passes(figure) === true ? "PASS" : "short");
  }
  return parts.join(", ");
}

function formatTarget({ target, unit }: Figure): string {
  if (target === undefined) return "";
  const end = target.kind === "ratio" ? "x" : ` ${unit}`;
  return "atLeast" in target ? `>= ${target.atLeast}${end}` : `<= ${target.atMost}${end}`;
}

function formatRuns(values: readonly number[]): string {
  const all = values.length > 1 ? ` (${values.map(formatNumber).join(", ")})` : "";
  return `${formatNumber(median(values))}${all}`;
}

export function formatNumber(value: number): string {
  const digits = value >= 1000 ? 0 : value >= 10 ? 1 : 2;
  return value.toLocaleString("en-US", {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}
