/** The names of a store's files on disk; nobody else builds them. */
import { join } from "node:path";

export const LOCK_FILE = "lock";
export const FORMAT_FILE = "format";
const RESERVE_FILE = "reserve";
/** The format file while a store is made: it gets its name when it is whole. */
export const FORMAT_FILE_NEW = "format.new";
export const LOG_DIRECTORY = "log";
export const INDEX_DIRECTORY = "index";

const SEGMENT_NAME = /^(\d{8,15})\.seg$/;

export function logDirectory(store: string): string {
  return join(store, LOG_DIRECTORY);
}

/** An index that is to take the place of one that cannot be written any more (index-copy.ts). */
export function newIndexDirectory(store: string): string {
  return join(store, `${INDEX_DIRECTORY}.new`);
}

/** One that could not be written any more, while it is removed. */
export function goneIndexDirectory(store: string): string {
  return join(store, `${INDEX_DIRECTORY}.gone`);
}

export function indexDirectory(store: string): string {
  return join(store, INDEX_DIRECTORY);
}

/** An index that is being replaced. */
export function oldIndexDirectory(store: string): string {
  return join(store, `${INDEX_DIRECTORY}.old`);
}

export function segmentPath(store: string, segment: number): string {
  return join(store, LOG_DIRECTORY, `${String(segment).padStart(8, "0")}.seg`);
}

/** A segment that is still being made. One that a crash left behind is nothing, and removed at the next start. */
export function unfinishedSegmentPath(store: string, segment: number): string {
  return `${segmentPath(store, segment)}.new`;
}

const UNFINISHED_SEGMENT_NAME = /^\d{8,15}\.seg\.new$/;

export function isUnfinishedSegment(name: string): boolean {
  return UNFINISHED_SEGMENT_NAME.test(name);
}

/** Bytes that are kept back for when the disk is full. */
export function reservePath(store: string): string {
  return join(store, RESERVE_FILE);
}

/** What recovery cut off a segment although whole frames followed. */
export function tornPath(store: string, segment: number, offset: number): string {
  return `${segmentPath(store, segment)}.cut-at-${offset}`;
}

const TORN_NAME = /^(\d{8,15})\.seg\.cut-at-(\d{1,15})$/;

/** From where on such a file has the bytes of which segment. */
export function cutFrom(name: string): { segment: number; offset: number } | undefined {
  const [, segment, offset] = TORN_NAME.exec(name) ?? [];
  return segment === undefined ? undefined : { segment: Number(segment), offset: Number(offset) };
}

/** The number in a segment's file name; undefined for any other name. */
export function segmentNumber(name: string): number | undefined {
  const digits = SEGMENT_NAME.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
