// Colours of files: by reason, layer or package.

// Fills that people with any kind of colour vision tell apart, and on which text is legible: close
// to Paul Tol's light scheme, and darker forms of it.
const LIGHT = [
  "#ee8866", "#eedd88", "#9cc3e6", "#44bb99", "#ffaabb", "#bbcc33", "#b9a8d6", "#aaaa00",
];
const DARK = [
  "#a8543a", "#80702c", "#35608c", "#1f7560", "#94485c", "#67721a", "#62548a", "#5c5c10",
];
const OTHER = { light: "#c9cdd4", dark: "#545a64" };

const palette = () => (isDark() ? DARK : LIGHT);

/** Kinds of reasons that mean the same to a reader, with their numbers in the palette. */
const REASONS = [
  { title: "Program or input", kinds: ["listed", "target", "included", "instruction"] },
  { title: "Run-time dependency", kinds: ["rule", "named"] },
  { title: "Library", kinds: ["needed", "loader", "preload_list"] },
  { title: "Interpreter, compiled form", kinds: ["interpreter", "compiled"] },
  { title: "Link", kinds: ["link", "parent"] },
  { title: "Package record", kinds: ["package", "distribution"] },
  { title: "From the base, or generated", kinds: ["base", "generated"] },
];

const groupOfKind = new Map(
  REASONS.flatMap(({ kinds }, group) => kinds.map((kind) => [kind, group])),
);

function reasonGroup(entry) {
  return entry.reasons.length > 0 ? (groupOfKind.get(entry.reasons[0].kind) ?? null) : null;
}

/** Groups of layers or packages: the largest ones have colours, the rest is one group. */
function largest(keyOf, titleOf) {
  const bytes = new Map();
  for (const entry of entries) {
    const key = keyOf(entry);
    if (key !== null) bytes.set(key, (bytes.get(key) ?? 0) + entry.ownBytes);
  }
  const keys = [...bytes.keys()].filter((key) => bytes.get(key) > 0);
  keys.sort((a, b) => bytes.get(b) - bytes.get(a));
  const shown = keys.slice(0, LIGHT.length);
  const groups = new Map(shown.map((key, group) => [key, group]));
  return {
    titles: shown.map(titleOf),
    groupOf: (entry) => groups.get(keyOf(entry)) ?? null,
  };
}

const packageTitle = (one) => `${one.name} ${one.version}`;

/** The ways to colour files; `groupOf` gives a number in the palette, or null. */
const SCHEMES = {
  reason: {
    label: "reason",
    other: isResolved ? "Nothing leads to it" : "Not known",
    titles: REASONS.map(({ title }) => title),
    groupOf: reasonGroup,
  },
  layer: {
    label: "layer",
    other: "Other layers",
    ...largest((entry) => (entry.layer < 0 ? null : entry.layer), (layer) => `Layer ${layer + 1}`),
  },
  package: {
    label: "package",
    other: data.packages.length > 0 ? "Other packages, or none" : "No package",
    ...largest((entry) => entry.package, packageTitle),
  },
};

function colour(group) {
  if (group === null) return isDark() ? OTHER.dark : OTHER.light;
  return palette()[group];
}

/** The groups below a directory with their bytes and files, in the order of the palette. */
function groupsBelow(directory, scheme) {
  const groups = new Map();
  const left = [directory];
  while (left.length > 0) {
    const entry = left.pop();
    left.push(...entry.children);
    if (entry.kind !== "file" || entry.linkTo !== null) continue;
    const group = scheme.groupOf(entry);
    const known = groups.get(group) ?? { group, bytes: 0, files: 0 };
    known.bytes += entry.size;
    known.files += 1;
    groups.set(group, known);
  }
  const place = (one) => (one.group === null ? LIGHT.length : one.group);
  return [...groups.values()].sort((a, b) => place(a) - place(b));
}
