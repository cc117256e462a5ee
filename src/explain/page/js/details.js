// What is said of one entry: the panel beside the map, and the tooltip.

const CHAINS_SHOWN = 5;

const layerTitle = (layer) => (layer < 0 ? "none" : `${layer + 1} of ${data.layers.length}`);

/** What an entry is, in a few words. */
function kindText(entry) {
  if (entry.linkTo !== null) return `another name of ${entries[entry.linkTo].path}`;
  if (entry.target !== null) return `link to ${entry.target}`;
  return entry.isObject ? "ELF object" : entry.kind;
}

/** The facts about an entry, as pairs of a name and a text. */
function factsOf(entry) {
  const facts = [["Kind", kindText(entry)]];
  if (entry.isDirectory) facts.push(["Holds", count(entry.files, "file")]);
  if (entry.isListed) {
    facts.push(["Mode", `${permissions(entry.mode)} ${entry.uid}:${entry.gid}`]);
  }
  facts.push(["Layer", layerTitle(entry.layer)]);
  if (entry.package) facts.push(["Package", printable(packageTitle(entry.package))]);
  if (entry.isDuplicate) facts.push(["Copies", "other files have the same content"]);
  return facts;
}

function chainList(chain) {
  const steps = chain.map(({ entry, reason }) =>
    make("li", {}, link(entry.path, () => select(entry)), " ",
      make("span", { class: "quiet" }, printable(reason.text))),
  );
  return make("ol", { class: "chain" }, ...steps);
}

/** Why the entry is there: its chains, and what would go without it. */
function whyOf(entry) {
  const found = chains(entry, CHAINS_SHOWN + 1);
  if (found.length === 0) return [make("p", { class: "quiet" }, withoutChain(entry))];
  const [first, ...others] = found.slice(0, CHAINS_SHOWN);
  const parts = [chainList(first)];
  if (others.length > 0) {
    const more = found.length > CHAINS_SHOWN ? " or more" : "";
    parts.push(make("details", {},
      make("summary", {}, `${count(others.length, "other chain")}${more}`),
      ...others.map(chainList)));
  }
  const goes = goesWith(entry);
  parts.push(make("p", { class: "quiet" },
    `Without it, ${count(goes.paths, "path")} would go: ${size(goes.bytes)}.`));
  return parts;
}

/** Shows an entry in the panel. */
function showDetails(entry) {
  const facts = factsOf(entry).flatMap(([name, text]) =>
    [make("dt", {}, name), make("dd", {}, text)]);
  const bytes = entry.isDirectory ? entry.total : entry.size;
  const actions = [link("In the table", () => searchFor(entry.path))];
  if (entry.isObject) actions.push(link("What it needs", () => showObject(entry, true)));
  byId("details").replaceChildren(
    make("h3", {}, entry.path),
    make("p", { class: "amount" }, size(bytes), " ",
      make("span", { class: "quiet" }, count(bytes, "byte"))),
    make("dl", { class: "facts" }, ...facts),
    make("h4", {}, "Why it is there"),
    ...whyOf(entry),
    make("p", { class: "actions" }, ...actions),
  );
}

/** Shows what is under the pointer, near it. */
function showTooltip(entry, x, y) {
  const tooltip = byId("tooltip");
  const bytes = entry.isDirectory ? entry.total : entry.size;
  const about = [size(bytes), `layer ${layerTitle(entry.layer)}`];
  if (entry.package) about.push(printable(packageTitle(entry.package)));
  const chain = shortestChain(entry);
  const step = ({ entry: of, reason }) => make("li", {},
    of === entry ? "" : `${of.path} `, make("span", { class: "quiet" }, printable(reason.text)));
  const why = chain
    ? make("ol", { class: "chain" }, ...chain.map(step).slice(-6))
    : make("div", { class: "quiet" }, withoutChain(entry));
  tooltip.replaceChildren(
    make("strong", {}, entry.path),
    make("div", {}, about.join(" · ")),
    why,
  );
  tooltip.hidden = false;
  const box = tooltip.getBoundingClientRect();
  const left = x + 16 + box.width > innerWidth ? x - box.width - 12 : x + 16;
  const top = y + 16 + box.height > innerHeight ? y - box.height - 12 : y + 16;
  tooltip.style.left = `${Math.max(4, left)}px`;
  tooltip.style.top = `${Math.max(4, top)}px`;
}

function hideTooltip() {
  byId("tooltip").hidden = true;
}
