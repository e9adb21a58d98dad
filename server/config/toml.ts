/** TOML text to plain values, and where in the text each of them stands. Pure. */
import type { AST } from "toml-eslint-parser";
import { getStaticTOMLValue, ParseError, parseTOML } from "toml-eslint-parser";

export type Path = readonly (string | number)[];

export interface Document {
  readonly value: Readonly<Record<string, unknown>>;
  /** Counted from 1; of the nearest table above for what is not there. */
  lineOf(path: Path): number;
}

/** `column` counts from 1. */
export interface SyntaxProblem {
  readonly line: number;
  readonly column: number;
  readonly text: string;
}

/** No key of ours; as a key of an object it would change what the object is. */
const FORBIDDEN_KEY = "__proto__";

class ForbiddenKey extends Error {
  readonly node: AST.TOMLNode;

  constructor(node: AST.TOMLNode) {
    super(`the key ${FORBIDDEN_KEY} is not allowed`);
    this.node = node;
  }
}

function namesOf(key: AST.TOMLKey): string[] {
  return key.keys.map((each) => {
    const name = each.type === "TOMLBare" ? each.name : each.value;
    if (name === FORBIDDEN_KEY) throw new ForbiddenKey(each);
    return name;
  });
}

class Lines {
  readonly #lines = new Map<string, number>();

  note(path: Path, node: AST.TOMLNode): void {
    // A table may be made by the key of its first value and get its own header later.
    for (let length = 1; length <= path.length; length++) {
      const key = JSON.stringify(path.slice(0, length));
      if (!this.#lines.has(key)) this.#lines.set(key, node.loc.start.line);
    }
  }

  of(path: Path): number {
    for (let length = path.length; length > 0; length--) {
      const line = this.#lines.get(JSON.stringify(path.slice(0, length)));
      if (line !== undefined) return line;
    }
    return 1;
  }

  visitContent(path: Path, node: AST.TOMLContentNode): void {
    if (node.type === "TOMLInlineTable") {
      for (const each of node.body) this.visitPair(path, each);
    } else if (node.type === "TOMLArray") {
      for (const [index, each] of node.elements.entries()) {
        this.note([...path, index], each);
        this.visitContent([...path, index], each);
      }
    }
  }

  visitPair(above: Path, node: AST.TOMLKeyValue): void {
    const path = [...above, ...namesOf(node.key)];
    this.note(path, node);
    this.visitContent(path, node.value);
  }

  visitTop(top: AST.TOMLTopLevelTable): void {
    for (const node of top.body) {
      if (node.type === "TOMLKeyValue") this.visitPair([], node);
      else {
        namesOf(node.key);
        this.note(node.resolvedKey, node);
        for (const each of node.body) this.visitPair(node.resolvedKey, each);
      }
    }
  }
}

/** A value that is missing at the end of a line is noticed by the parser at the begin of a later one. */
function placeOf({ index, lineNumber, column }: ParseError, text: string) {
  const before = text.slice(0, index);
  const isLineEnd = column === 0 && /=[ \t]*\r?\n$/.test(before);
  if (!isLineEnd) return { line: lineNumber, column: column + 1 };
  const lines = before.trimEnd().split("\n");
  return { line: lines.length, column: (lines.at(-1)?.length ?? 0) + 1 };
}

export function parseDocument(text: string): Document | SyntaxProblem {
  try {
    const program = parseTOML(text, { tomlVersion: "1.0" });
    const lines = new Lines();
    lines.visitTop(program.body[0]);
    return { value: getStaticTOMLValue(program), lineOf: (path) => lines.of(path) };
  } catch (error) {
    if (error instanceof ForbiddenKey) {
      const { line, column } = error.node.loc.start;
      return { line, column: column + 1, text: error.message };
    }
    if (!(error instanceof ParseError)) throw error;
    return { ...placeOf(error, text), text: error.message };
  }
}
