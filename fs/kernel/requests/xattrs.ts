/** Extended attributes. A size of 0 asks how long the value is; one that is too small gets ERANGE. */
import { E2BIG, EINVAL, ERANGE, isErrno } from "../../../base/errno.ts";
import { getxattrIn, getxattrOut, setxattrIn } from "../abi.ts";
import type { Handler } from "../outcome.ts";
import type { Reply } from "../reply.ts";

/** XATTR_SIZE_MAX and XATTR_LIST_MAX of the kernel. */
const lengthMax = 65_536;

function encodeValue(reply: Reply, value: Buffer, size: number): number {
  if (value.length > lengthMax) return E2BIG;
  if (size === 0) {
    reply.clear(0, getxattrOut.sizeof);
    reply.u32(getxattrOut.size, value.length);
    return getxattrOut.sizeof;
  }
  if (value.length > size) return ERANGE;
  reply.tail = [value];
  return 0;
}

export function encodeList(reply: Reply, names: readonly string[], size: number): number {
  const list = Buffer.from(names.map((name) => `${name}\0`).join(""), "latin1");
  return encodeValue(reply, list, size);
}

export const getxattr: Handler = (session, request, reply) => {
  const name = request.name(getxattrIn.sizeof);
  if (name === undefined) return EINVAL;
  const value = session.operations.getXattr(request.node, name);
  if (isErrno(value)) return value;
  return encodeValue(reply, value, request.u32(getxattrIn.size));
};

export const listxattr: Handler = (session, request, reply) => {
  const names = session.operations.listXattr(request.node);
  if (isErrno(names)) return names;
  return encodeList(reply, names, request.u32(getxattrIn.size));
};

export const setxattr: Handler = (session, request) => {
  const name = request.name(setxattrIn.sizeof);
  if (name === undefined) return EINVAL;
  const size = request.u32(setxattrIn.size);
  if (size > lengthMax) return E2BIG;
  const value = request.data(setxattrIn.sizeof + name.length + 1, size);
  if (value === undefined) return EINVAL;
  const flags = request.u32(setxattrIn.flags);
  return session.operations.setXattr(request.node, name, Buffer.from(value), flags);
};

export const removexattr: Handler = (session, request) => {
  const name = request.name(0);
  if (name === undefined) return EINVAL;
  return session.operations.removeXattr(request.node, name);
};
