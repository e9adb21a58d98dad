/** The facts that a message's header alone tells. */
import type { HeaderLine } from "./header.ts";
import { decodeFields, type StructuredValue } from "./mailparser.ts";

export interface FieldValues {
  readonly messageId: string | undefined;
  readonly subject: string | undefined;
  /** As a reader would see it: "\"Ann\" <ann@example.org>". */
  readonly from: string | undefined;
  /** The message is one text and nothing else: its body adds no fact. */
  readonly isText: boolean;
}

const textTypes: ReadonlySet<string> = new Set(["", "text/plain", "text/html"]);

export function fieldsOf(lines: readonly HeaderLine[]): FieldValues {
  const values = new Map<string, unknown>();
  for (const line of lines) {
    // One at a time: a field that cannot be decoded must not hide the others.
    try {
      for (const [key, value] of decodeFields([line])) values.set(key, value);
    } catch {
      values.delete(line.key);
    }
  }
  const structured = (key: string): string =>
    ((values.get(key) as StructuredValue | undefined)?.value ?? "").toLowerCase().trim();
  const textOf = (value: unknown): string | undefined =>
    typeof value === "string" && value !== "" ? value : undefined;
  const disposition = structured("content-disposition");
  return {
    messageId: textOf(values.get("message-id")),
    subject: textOf(values.get("subject")),
    from: textOf((values.get("from") as { text?: unknown } | undefined)?.text),
    isText:
      textTypes.has(structured("content-type")) && (disposition === "" || disposition === "inline"),
  };
}
