/** What the steps of one import share. */
import type { HintClient } from "../../fs/hints/client.ts";
import type { Progress } from "../progress.ts";
import type { Report } from "./report.ts";
import type { Sharing } from "./sharing.ts";
import type { TemporaryDirectory } from "./temporary.ts";

export interface ImportOptions {
  readonly isDry: boolean;
  /** Only to know what earlier runs brought, before anything is taken; `isDry` too. */
  readonly isLearning: boolean;
  /** Dovecot's index files come in too. */
  readonly withIndexes: boolean;
  readonly lockWaitMsMax: number;
}

export interface ImportContext {
  /** Absolute paths of directories, as byte strings. */
  readonly source: string;
  readonly target: string;
  /** The target from the root of its mount. */
  readonly hintTarget: string;
  readonly client: HintClient;
  readonly sharing: Sharing | undefined;
  /** Undefined in a dry run. */
  readonly temporaries: TemporaryDirectory | undefined;
  /** Of the mounted spool (st_dev): nothing of another one is written to. */
  readonly device: bigint;
  readonly options: ImportOptions;
  readonly report: Report;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  /** Prints a line about something that was not taken. */
  readonly tell: (path: string, text: string) => void;
}
