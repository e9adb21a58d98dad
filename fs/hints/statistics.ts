/**
 * The operation `statistics`. What is stored and what is shared only root learns: from the difference
 * another user could tell whether somebody else has the same message.
 */
import { isRegular } from "../attributes.ts";
import type { HintsContext, Requester } from "./context.ts";
import type { Path } from "./fields.ts";
import { fileUse } from "./file-use.ts";
import type { Frame } from "./frame.ts";
import { PathWalker } from "./path-walker.ts";
import type { Refusal } from "./refusals.ts";
import { isRefusal } from "./refusals.ts";
import type { Answer } from "./reply.ts";
import { readStatistics } from "./request.ts";

export function statistics(
  context: HintsContext,
  requester: Requester,
  frame: Frame,
): Answer | Refusal | Promise<Answer | Refusal> {
  const request = readStatistics(frame);
  if (isRefusal(request)) return request;
  if (request.path !== undefined) return ofFile(context, requester, request.path);
  const { logicalBytes, files, ...others } = context.store.statistics();
  if (requester.opener.uid !== 0) return { logicalBytes, files };
  return {
    logicalBytes,
    files,
    ...others,
    pendingNames: context.deliveries.pendingNameCount,
  };
}

/** As for stat(2), the caller needs no right on the file, only the way to it. */
async function ofFile(
  context: HintsContext,
  requester: Requester,
  path: Path,
): Promise<Answer | Refusal> {
  const walker = new PathWalker(context.store, requester.opener);
  const reason = walker.resolve(path.bytes);
  if (reason !== undefined) return { reason, path: path.given };
  const { inode } = walker;
  if (inode === undefined) return { reason: "notFound", path: path.given };
  const logicalBytes = isRegular(inode.mode) ? inode.size : 0;
  if (requester.opener.uid !== 0) return { logicalBytes };
  return { logicalBytes, ...(await fileUse(context.store, inode.ino)) };
}
