/** Which files a LevelDB database consists of, by the records of its manifest (LevelDB, version_edit.cc). Pure. */
import { ByteReader } from "../../../../base/bytes.ts";

export interface LevelFiles {
  /** Number and length of each table. */
  readonly tables: ReadonlyMap<number, number>;
  /** Logs with a lower number are no longer needed. */
  readonly firstLog: number;
}

/** Throws MalformedError. */
export function readManifest(records: readonly Buffer[]): LevelFiles {
  const tables = new Map<number, number>();
  let firstLog = 0;
  for (const record of records) {
    const from = new ByteReader(record);
    while (from.left > 0) {
      switch (from.varint()) {
        case 1: // comparator
          from.bytes();
          break;
        case 2: // log number
          firstLog = from.varint();
          break;
        case 3: // next file number
        case 4: // last sequence
        case 9: // previous log number
          from.varint();
          break;
        case 5: // compact pointer: level, key
          from.varint();
          from.bytes();
          break;
        case 6: // deleted file: level, number
          from.varint();
          tables.delete(from.varint());
          break;
        case 7: {
          // new file: level, number, length, smallest and largest key
          from.varint();
          const number = from.varint();
          tables.set(number, from.varint());
          from.bytes();
          from.bytes();
          break;
        }
        default:
          return { tables, firstLog };
      }
    }
  }
  return { tables, firstLog };
}
