// Why a path is there: chains of reasons from a start to it.

/** The most steps that are looked at: a path may have more chains than anyone reads. */
const MOST_STEPS = 5000;

/**
 * The shortest chains that lead to `entry`, `limit` of them at most. Each is a list of steps from
 * its start on: an entry, and the reason that leads to it from the step before.
 */
function chains(entry, limit) {
  const found = [];
  let left = entry.reasons.map((reason) => [{ entry, reason }]);
  let steps = 0;
  while (left.length > 0 && found.length < limit && steps < MOST_STEPS) {
    const longer = [];
    for (const chain of left) {
      steps += 1;
      const { cause } = chain[chain.length - 1].reason;
      if (cause === null) {
        found.push([...chain].reverse());
        if (found.length === limit) break;
      } else if (!chain.some((step) => step.entry === cause)) {
        for (const reason of cause.reasons) longer.push([...chain, { entry: cause, reason }]);
      }
      if (steps + longer.length > MOST_STEPS) break;
    }
    left = longer;
  }
  return found;
}

const shortest = new Map();

/** The shortest chain that leads to `entry`; null if none does. */
function shortestChain(entry) {
  if (!shortest.has(entry)) shortest.set(entry, chains(entry, 1)[0] ?? null);
  return shortest.get(entry);
}

/** What is said of an entry that no chain leads to. */
function withoutChain(entry) {
  if (!isResolved) return `Not known why: ${printable(data.unresolved)}.`;
  if (entry.isDirectory) return "A directory on the way to what is in it.";
  return "Nothing that the image starts leads to it.";
}

/** What only this path and what is in it lead to, these included, and the bytes of it. */
function goesWith(entry) {
  const reached = new Set();
  const needs = new Map();
  const left = [];
  for (const other of entries) {
    if (isBelow(other, entry)) continue;
    for (const { cause } of other.reasons) {
      if (cause === null) {
        if (!reached.has(other)) left.push(other);
        reached.add(other);
      } else if (needs.has(cause)) needs.get(cause).push(other);
      else needs.set(cause, [other]);
    }
  }
  while (left.length > 0) {
    for (const other of needs.get(left.pop()) ?? []) {
      if (reached.has(other)) continue;
      reached.add(other);
      left.push(other);
    }
  }
  const isLeft = (one) => one.isListed && isBelow(one, entry);
  const goes = entries.filter(
    (one) => (one.reasons.length > 0 && !reached.has(one)) || (one !== root && isLeft(one)));
  return { paths: goes.length, bytes: freed(new Set(goes)) };
}

/** The bytes that would go with the entries of `gone`. Content that has another name stays. */
function freed(gone) {
  const first = (one) => (one.linkTo === null ? one : entries[one.linkTo]);
  const kept = new Set(entries.filter((one) => !gone.has(one)).map(first));
  const contents = new Set([...gone].map(first));
  return [...contents].reduce((sum, one) => sum + (kept.has(one) ? 0 : one.size), 0);
}
