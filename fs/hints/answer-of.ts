/**
 * What a request answers that an earlier process has committed: the request says the one half, what was noted with the
 * commit the other.
 */
import { assert } from "../../base/assert.ts";
import type { CommitResult } from "../takeover/inherited.ts";
import { readDeliver } from "./deliver-request.ts";
import type { Frame } from "./frame.ts";
import { isRefusal } from "./refusals.ts";
import type { Answer } from "./reply.ts";
import { readForget, readShare, readWrite } from "./request.ts";
import { tokenOf } from "./session-units.ts";

export function answerOf(frame: Frame, { pends, value }: CommitResult): Answer {
  switch (frame.fields["op"]) {
    case "deliver": {
      const request = readDeliver(frame);
      assert(!isRefusal(request), "a request that was carried out can be read");
      return { delivered: request.paths.length, pending: pends };
    }
    case "share": {
      const request = readShare(frame);
      assert(!isRefusal(request), "a request that was carried out can be read");
      let length = 0;
      for (const range of request.from) length += range.length;
      return { offset: value, length };
    }
    case "write": {
      const request = readWrite(frame);
      assert(!isRefusal(request), "a request that was carried out can be read");
      const { length } = request.lengths;
      return { units: Array.from({ length }, (_, k) => tokenOf(value - length + 1 + k)) };
    }
    case "forget": {
      const request = readForget(frame);
      assert(!isRefusal(request), "a request that was carried out can be read");
      return { forgotten: request.units.length };
    }
    default:
      return { size: value };
  }
}
