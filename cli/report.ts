/** What a command has to tell, as text or, when it was asked for with --json, for programs. */
export function printReport(json: boolean | undefined, report: object, asText: () => string): void {
  process.stdout.write(json === true ? `${JSON.stringify(report, undefined, 2)}\n` : asText());
}
