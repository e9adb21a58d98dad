/** The far searches for one WRITE: what they found, and how many were in vain. */
import { searchFar, wantedOfMessage } from "./far.ts";
import { FAR_FAILURES_MAX, FAR_GAP_MIN, MESSAGE_LENGTH_MIN } from "./limits.ts";
import { isSure, lengthOf, type Matching, type Run } from "./matching.ts";
import type { Stretch } from "./near.ts";
import type { SearchPlan } from "./stretches.ts";

export class FarSearches {
  readonly #matching: Matching;
  readonly #plan: SearchPlan;
  #failures = 0;
  /** The stretch that was searched for as a message, in vain. */
  #looked: Stretch | undefined;
  /** How the last one ended; undefined: there was none. */
  outcome: "found" | "failed" | undefined;
  searchedTo: number | undefined;

  constructor(matching: Matching, plan: SearchPlan, outcome: "found" | undefined) {
    this.#matching = matching;
    this.#plan = plan;
    this.outcome = outcome;
    this.searchedTo = plan.searchedTo;
  }

  /**
   * Where a match ends and nothing follows it nearby but `near`, a short run or none: mostly a message begins here,
   * behind some that were left out. Their headers have many of its lines, one after the other.
   */
  message(stretch: Stretch, near: Run | undefined): Run | undefined {
    const { low, high, below, sureAbove } = stretch;
    if (below === undefined || high - low < MESSAGE_LENGTH_MIN || !this.#mayLook())
      return undefined;
    const { direction } = this.#plan;
    const wanted = wantedOfMessage(high - low);
    const { run, searchedTo } = searchFar(
      this.#matching,
      stretch,
      direction,
      this.searchedTo,
      wanted,
    );
    const isMessage = run !== undefined && isSure(run) && lengthOf(run) >= wanted.good;
    if (isMessage && (near === undefined || lengthOf(run) > lengthOf(near))) {
      this.#found();
      return run;
    }
    this.#looked = stretch;
    if (sureAbove === undefined) this.#failed(searchedTo);
    return undefined;
  }

  anywhere(stretch: Stretch): Run | undefined {
    if (stretch === this.#looked || !this.#mayLook() || !mayBeFar(stretch)) return undefined;
    const { run, searchedTo } = searchFar(
      this.#matching,
      stretch,
      this.#plan.direction,
      this.searchedTo,
    );
    const between = stretch.sureBelow !== undefined && stretch.sureAbove !== undefined;
    // A short one may be chance: it is used, but does not tell where the content went.
    if (run !== undefined && (isSure(run) || 2 * lengthOf(run) >= stretch.high - stretch.low)) {
      this.#found();
    } else if (!between) {
      this.#failed(searchedTo);
    }
    return run;
  }

  #mayLook(): boolean {
    return this.#plan.far && this.#failures < FAR_FAILURES_MAX;
  }

  #found(): void {
    this.outcome = "found";
    this.searchedTo = undefined;
  }

  #failed(searchedTo: number): void {
    this.#failures++;
    if (this.outcome !== undefined) return;
    this.outcome = "failed";
    this.searchedTo = searchedTo;
  }
}

/** A few new bytes beside a match are an edit, behind which the content goes on. */
function mayBeFar({ low, high, below, above }: Stretch): boolean {
  if (below === undefined && above === undefined) return true;
  return high - low + (below?.gap ?? 0) + (above?.gap ?? 0) >= FAR_GAP_MIN;
}
