/** One combination of a matrix: the values that `${{ matrix.… }}` has in one job. */
export type Combination = Readonly<Record<string, unknown>>;

/**
 * The combinations of `strategy.matrix`, in GitHub's order: the product of all axes (the first axis changes
 * slowest), without those that `exclude` matches, extended by `include`. An `include` entry is added to every
 * original combination whose values it does not contradict; one that fits nowhere is a combination of its own.
 * An axis that is an expression, unknown before the run, counts as one value.
 */
export function expandMatrix(matrix: Readonly<Record<string, unknown>>): readonly Combination[] {
  const axes = Object.entries(matrix).filter(([name]) => name !== "include" && name !== "exclude");
  const excluded = combinationsIn(matrix.exclude);
  const originals = product(axes).filter((candidate) => !excluded.some((entry) => agrees(entry, candidate)));
  const extended: Record<string, unknown>[] = originals.map((original) => ({ ...original }));
  const added: Combination[] = [];
  for (const entry of combinationsIn(matrix.include)) {
    let fits = false;
    for (const [index, original] of originals.entries()) {
      const target = extended[index];
      if (target === undefined || !contradictsNothing(entry, original)) continue;
      Object.assign(target, entry);
      fits = true;
    }
    if (!fits) added.push(entry);
  }
  return [...extended, ...added];
}

/** The values of a combination as they stand in the default name of a job: `20, ubuntu-latest`. */
export function combinationText(combination: Combination): string {
  return Object.values(combination)
    .flatMap((value) => scalarsOf(value))
    .join(", ");
}

/** Whether two values of YAML are the same. */
function isSameValue(left: unknown, right: unknown): boolean {
  if (typeof left !== "object" || typeof right !== "object" || left === null || right === null) {
    return left === right;
  }
  const [ours, theirs] = [Object.entries(left), new Map(Object.entries(right))];
  return ours.length === theirs.size && ours.every(([key, value]) => isSameValue(value, theirs.get(key)));
}

function product(axes: readonly (readonly [string, unknown])[]): readonly Combination[] {
  if (axes.length === 0) return [];
  let combinations: Combination[] = [{}];
  for (const [name, axis] of axes) {
    const values: readonly unknown[] = Array.isArray(axis) ? axis : [axis];
    combinations = combinations.flatMap((combination) =>
      values.map((value) => ({ ...combination, [name]: value })),
    );
  }
  return combinations;
}

/** An entry of `exclude` removes every combination that has all of its values. */
function agrees(entry: Combination, candidate: Combination): boolean {
  return Object.entries(entry).every(
    ([name, value]) => name in candidate && isSameValue(candidate[name], value),
  );
}

function contradictsNothing(entry: Combination, original: Combination): boolean {
  return Object.entries(entry).every(
    ([name, value]) => !(name in original) || isSameValue(original[name], value),
  );
}

function combinationsIn(entries: unknown): readonly Combination[] {
  if (!Array.isArray(entries)) return [];
  return entries.filter((entry) => typeof entry === "object" && entry !== null && !Array.isArray(entry));
}

function scalarsOf(value: unknown): readonly string[] {
  if (typeof value === "object" && value !== null) return Object.values(value).flatMap(scalarsOf);
  return [String(value)];
}
