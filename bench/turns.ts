/** Measuring several sides in turn (A B A B), so that a change of the machine's mood meets all of them. */

export type Side = () => Promise<number>;

export async function inTurn<Name extends string>(
  runs: number,
  sides: Readonly<Record<Name, Side>>,
): Promise<Record<Name, number[]>> {
  const names = Object.keys(sides) as Name[];
  const values = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<
    Name,
    number[]
  >;
  for (let run = 0; run < runs; run++) {
    for (const name of names) values[name].push(await sides[name]());
  }
  return values;
}
