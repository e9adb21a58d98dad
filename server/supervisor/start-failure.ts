/** `onespool serve` cannot start. The message is for people and complete. */
export class StartFailure extends Error {
  override name = "StartFailure";
  readonly code = "START_FAILED";
  readonly exitCode: number;

  constructor(message: string, exitCode: number, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}
