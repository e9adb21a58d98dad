/**
 * What a `deliver` request asks for (docs/HINTS.md). Pure. A request may name 10,000 files and
 * 100,000 of them are to be read in a second, so the loop over them makes nothing that it can avoid.
 */
import { bytesOfText, isCount, isObject, readPath, unknownField, badField } from "./fields.ts";
import type { Fields, Frame } from "./frame.ts";
import { FILES_MAX, PATH_BYTES_MAX, PRIVATE_BYTES_MAX, UNITS_NAMED_MAX } from "./limits.ts";
import type { PathAsGiven, Refusal } from "./refusals.ts";
import { isRefusal } from "./refusals.ts";

/** A part of the shared bytes: the next `length` bytes of the body, or a range of a written unit. */
export type SharedPiece =
  | { readonly type: "inline"; readonly length: number }
  | {
      readonly type: "unit";
      readonly token: string;
      readonly offset: number;
      /** To the unit's end when undefined. */
      readonly length: number | undefined;
    };

/** For a mailbox that may have to be made. */
export interface NewMailbox {
  /** Permission bits. */
  readonly mode: number;
  /** The caller's when undefined. */
  readonly uid: number | undefined;
  readonly gid: number | undefined;
}

/** One file for each index. */
export interface DeliverRequest {
  /** Every file gets shared bytes of its own: nothing is linked. */
  readonly copies: boolean;
  readonly shared: readonly SharedPiece[];
  /** Bytes of the body that are shared; the private ones follow. */
  readonly inlineLength: number;
  /** Bytes of the paths, one UTF-16 unit for each. */
  readonly paths: readonly string[];
  readonly privateLengths: readonly number[];
  readonly creates: readonly (NewMailbox | undefined)[];
}

const REQUEST_FIELDS = new Set(["op", "version", "bodyBytes", "shared", "copies", "to"]);
const INLINE_FIELDS = new Set(["bytes"]);
const UNIT_FIELDS = new Set(["unit", "offset", "length"]);
const TARGET_FIELDS = new Set(["path", "path64", "privateBytes", "create"]);
const CREATE_FIELDS = new Set(["mode", "uid", "gid"]);

/** Set-id bits are refused: a delivery must not be a way to make a program that runs as somebody else. */
const MODE_MAX = 0o777;
const ID_MAX = 0xffff_fffe;

export function readDeliver(frame: Frame): DeliverRequest | Refusal {
  const { fields } = frame;
  const unknown = unknownField(fields, REQUEST_FIELDS);
  if (unknown !== undefined) return unknown;
  const shared = readShared(fields["shared"] ?? []);
  if (isRefusal(shared)) return shared;
  const copies: unknown = fields["copies"] ?? false;
  if (typeof copies !== "boolean") return badField("copies");
  const to: unknown = fields["to"];
  if (!Array.isArray(to) || to.length === 0) return badField("to");
  if (to.length > FILES_MAX) return { reason: "tooManyFiles", detail: "to" };

  let inlineLength = 0;
  for (const piece of shared) if (piece.type === "inline") inlineLength += piece.length;
  const paths: string[] = [];
  const privateLengths: number[] = [];
  const creates: (NewMailbox | undefined)[] = [];
  let bodyLength = inlineLength;
  for (let index = 0; index < to.length; index++) {
    const target: unknown = to[index];
    if (!isObject(target)) return badField(`to[${index}]`);
    const path = readTargetPath(target, index);
    if (typeof path !== "string") return path;
    const privateBytes: unknown = target["privateBytes"] ?? 0;
    if (!isCount(privateBytes) || (privateBytes === 0 && shared.length === 0)) {
      return blame(target, badField(`to[${index}].privateBytes`));
    }
    if (privateBytes > PRIVATE_BYTES_MAX) return blame(target, { reason: "privateTooLong" });
    const create = readCreate(target["create"]);
    if (create === null) return blame(target, badField(`to[${index}].create`));
    const strange = unknownField(target, TARGET_FIELDS);
    if (strange !== undefined) return blame(target, strange);
    paths.push(path);
    privateLengths.push(privateBytes);
    creates.push(create);
    bodyLength += privateBytes;
  }
  if (bodyLength !== frame.body.length) return { reason: "bodyMismatch", detail: "bodyBytes" };
  return { copies, shared, inlineLength, paths, privateLengths, creates };
}

/** How the request spelled the path of a file, for a refusal. */
export function givenPath(frame: Frame, index: number): PathAsGiven {
  const target = (frame.fields["to"] as readonly Fields[])[index];
  const path = target === undefined ? undefined : readPath(target, "");
  return path === undefined || isRefusal(path) ? {} : path.given;
}

function blame(target: Fields, refusal: Refusal): Refusal {
  const path = readPath(target, "");
  return isRefusal(path) ? refusal : { ...refusal, path: path.given };
}

function readTargetPath(target: Fields, index: number): string | Refusal {
  const text: unknown = target["path"];
  if (typeof text === "string" && target["path64"] === undefined) {
    const bytes = bytesOfText(text);
    if (bytes !== undefined && bytes.length <= PATH_BYTES_MAX) return bytes;
  }
  const path = readPath(target, `to[${index}].`);
  return isRefusal(path) ? path : path.bytes;
}

function readShared(given: unknown): readonly SharedPiece[] | Refusal {
  if (!Array.isArray(given)) return badField("shared");
  if (given.length > UNITS_NAMED_MAX) return { reason: "tooManyUnits", detail: "shared" };
  const pieces: SharedPiece[] = [];
  for (const [index, piece] of (given as unknown[]).entries()) {
    const read = isObject(piece) ? readPiece(piece) : undefined;
    if (read === undefined) return badField(`shared[${index}]`);
    if (isRefusal(read)) return read;
    pieces.push(read);
  }
  return pieces;
}

function readPiece(piece: Fields): SharedPiece | Refusal | undefined {
  const { bytes, unit, offset = 0, length } = piece;
  if (unit === undefined) {
    if (!isCount(bytes) || bytes === 0) return undefined;
    return unknownField(piece, INLINE_FIELDS) ?? { type: "inline", length: bytes };
  }
  if (typeof unit !== "string" || !isCount(offset)) return undefined;
  if (length !== undefined && (!isCount(length) || length === 0)) return undefined;
  return unknownField(piece, UNIT_FIELDS) ?? { type: "unit", token: unit, offset, length };
}

/** null when it is not what it has to be. */
function readCreate(given: unknown): NewMailbox | undefined | null {
  if (given === undefined) return undefined;
  if (!isObject(given) || unknownField(given, CREATE_FIELDS) !== undefined) return null;
  const { mode = 0o600, uid, gid } = given;
  if (!isCount(mode) || mode > MODE_MAX) return null;
  if (uid !== undefined && (!isCount(uid) || uid > ID_MAX)) return null;
  if (gid !== undefined && (!isCount(gid) || gid > ID_MAX)) return null;
  return { mode, uid, gid };
}
