/** How the result of an operation becomes the one answer that libfuse waits for. */
import { isErrno, type Errno } from "../../base/errno.ts";
import { StoreError } from "../store/errors.ts";

/**
 * Runs an operation and hands on its value, or the errno that it returned or failed with. What is not a
 * failure of the storage is a broken invariant and ends the process.
 */
export function answer<Value>(
  work: () => Value | Errno | Promise<Value | Errno>,
  refused: (errno: Errno) => void,
  done: (value: Value) => void,
): void {
  const settle = (result: Value | Errno): void => {
    if (isErrno(result)) refused(result);
    else done(result);
  };
  const failed = (error: unknown): void => {
    if (!(error instanceof StoreError)) throw error;
    refused(error.errno);
  };
  let result: Value | Errno | Promise<Value | Errno>;
  try {
    result = work();
  } catch (error) {
    failed(error);
    return;
  }
  // A rejection that `failed` throws again is unhandled, and so fatal.
  if (result instanceof Promise) void result.then(settle, failed);
  else settle(result);
}
