/** Fenced blocks of the pages in docs/, which tests check with the programs that they are for. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { sourcePath } from "./system/source.ts";

export interface Block {
  readonly page: string;
  /** The word behind the fence, "" without one. */
  readonly language: string;
  /** What follows that word: which of the page's blocks it is. */
  readonly name: string;
  readonly text: string;
}

/** The pages about other programs. */
export const pages = ["MOUNTING", "DOVECOT", "POSTFIX", "MUTT", "PERMISSIONS", "MBOX"].map(
  (name) => `${name}.md`,
);

const docs = dirname(sourcePath("docs/HINTS.md"));

/** Every page of docs/ and the one above it, by its path from the top of the source tree. */
export function allPages(): string[] {
  const inside = readdirSync(docs).filter((name) => name.endsWith(".md"));
  const decisions = readdirSync(join(docs, "decisions")).filter((name) => name.endsWith(".md"));
  return [
    "README.md",
    ...inside.map((name) => `docs/${name}`),
    ...decisions.map((name) => `docs/decisions/${name}`),
  ];
}

export function blocksOf(page: string): Block[] {
  const text = readFileSync(join(docs, page), "utf8");
  return Array.from(
    text.matchAll(/^```(\S*) ?(.*)\n([\s\S]*?)^```$/gm),
    ([, language = "", name = "", body = ""]) => ({ page, language, name, text: body }),
  );
}

export function blocksIn(language: string): Block[] {
  return pages.flatMap(blocksOf).filter((block) => block.language === language);
}

/** Throws if the page has not exactly one of this name. */
export function blockText(page: string, language: string, name: string): string {
  const found = blocksOf(page).filter(
    (block) => block.language === language && block.name === name,
  );
  if (found.length !== 1) throw new Error(`${page}: ${found.length} blocks ${language} ${name}`);
  return found[0]!.text;
}

/** name = value, as in Postfix's main.cf. */
export function settingsOf(text: string): Record<string, string> {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return Object.fromEntries(
    lines.map((line) => {
      const [name = "", ...value] = line.split("=");
      return [name.trim(), value.join("=").trim()];
    }),
  );
}
