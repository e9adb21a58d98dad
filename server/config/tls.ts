/** Certificate and key of STARTTLS: read, and proved to fit. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { createSecureContext } from "node:tls";
import type { TlsMaterial } from "../messages.ts";
import type { Config } from "./config.ts";
import type { Problem } from "./problems.ts";
import { ConfigError } from "./problems.ts";

const DAY_MS = 86_400_000;
/** Whoever renews certificates by a program has done so by then. */
const EXPIRES_SOON_DAYS = 14;

type Part = "certificate" | "key";

export interface TlsReport {
  readonly material: TlsMaterial | undefined;
  readonly problems: readonly { readonly part: Part; readonly text: string }[];
  readonly warnings: readonly { readonly part: Part; readonly text: string }[];
}

function firstLine(error: unknown): string {
  return (error as Error).message.split("\n")[0] ?? "";
}

function ageWarning(certificate: X509Certificate, now: number): string | undefined {
  const days = (Date.parse(certificate.validTo) - now) / DAY_MS;
  if (Date.parse(certificate.validFrom) > now)
    return `is not valid before ${certificate.validFrom}`;
  if (days < 0) return `has expired (${certificate.validTo})`;
  return days < EXPIRES_SOON_DAYS ? `expires soon (${certificate.validTo})` : undefined;
}

export function inspectTls(files: NonNullable<Config["tls"]>, now = Date.now()): TlsReport {
  const problems: { part: Part; text: string }[] = [];
  const warnings: { part: Part; text: string }[] = [];
  const attempt = <T>(part: Part, what: string, step: () => T): T | undefined => {
    try {
      return step();
    } catch (error) {
      problems.push({ part, text: `${files[part]}: ${what} (${firstLine(error)})` });
      return undefined;
    }
  };
  const read = (part: Part): string | undefined =>
    attempt(part, "cannot be read", () => readFileSync(files[part], "utf8"));
  const certificateText = read("certificate");
  const keyText = read("key");
  if (certificateText === undefined || keyText === undefined) {
    return { material: undefined, problems, warnings };
  }
  const certificate = attempt(
    "certificate",
    "is no PEM certificate",
    () => new X509Certificate(certificateText),
  );
  const key = attempt("key", "is no PEM private key without a pass phrase", () =>
    createPrivateKey(keyText),
  );
  if (certificate !== undefined && key !== undefined) {
    if (certificate.checkPrivateKey(key)) {
      attempt("certificate", "cannot be used", () =>
        createSecureContext({ cert: certificateText, key: keyText }),
      );
    } else problems.push({ part: "key", text: `${files.key}: is not the key of the certificate` });
    const warning = ageWarning(certificate, now);
    if (warning !== undefined) {
      warnings.push({ part: "certificate", text: `${files.certificate} ${warning}` });
    }
  }
  if ((statSync(files.key).mode & 0o007) !== 0) {
    warnings.push({ part: "key", text: `${files.key} is open to everybody: chmod 0600` });
  }
  const material = { certificate: certificateText, key: keyText };
  return { material: problems.length === 0 ? material : undefined, problems, warnings };
}

/** undefined without TLS. Throws ConfigError: a certificate may have been changed since the configuration was read. */
export function readTls(config: Pick<Config, "tls">): TlsMaterial | undefined {
  if (config.tls === undefined) return undefined;
  const { material, problems } = inspectTls(config.tls);
  if (material !== undefined) return material;
  const told: Problem[] = problems.map(({ part, text }) => ({ place: `tls.${part}`, text }));
  throw new ConfigError(told);
}
