// The graph of ELF objects: the whole of it, or what is around one of them, with who needs it at
// the left and what it needs at the right.

const BOX = { width: 170, height: 24, gap: 10, column: 250, part: 185 };
/** Objects around one; the tables have all of them. */
const MOST_IN_COLUMN = 30;
const MOST_IN_GRAPH = 250;
/** Objects of an image whose whole graph can be read. */
const MOST_IN_WHOLE = 400;

/** Each object's requests (`needs`) and the requests that it answers (`neededBy`). */
const objects = new Map(data.elf.objects.map((at) => [entries[at], { needs: [], neededBy: [] }]));
for (const [from, to, name, how, isOptional] of data.elf.edges) {
  const edge = {
    from: entries[from],
    to: to < 0 ? null : entries[to],
    name: data.texts[name],
    how: data.texts[how],
    isOptional,
  };
  objects.get(edge.from)?.needs.push(edge);
  if (edge.to) objects.get(edge.to)?.neededBy.push(edge);
}

const graph = { entry: null, isWhole: false, zoom: null, scale: 1, svg: null, box: null };

/** The objects that one finds from `start`, by `edgesOf`, with their distances. */
function around(start, edgesOf, end, farthest) {
  const distances = new Map([[start, 0]]);
  const columns = new Map();
  const left = [start];
  for (let at = 0; at < left.length && distances.size < MOST_IN_GRAPH; at += 1) {
    const distance = distances.get(left[at]) + 1;
    if (distance > farthest) break;
    for (const edge of edgesOf(left[at])) {
      const other = end(edge);
      if (!other || distances.has(other) || !objects.has(other)) continue;
      const used = columns.get(distance) ?? 0;
      if (used >= MOST_IN_COLUMN) continue;
      columns.set(distance, used + 1);
      distances.set(other, distance);
      left.push(other);
    }
  }
  return distances;
}

/** Moves what the objects need to the right of all that needs it, where there is no circle. */
function ranked(starts, distances) {
  const ranks = new Map(distances);
  const state = new Map();
  const order = [];
  const targets = (entry) =>
    objects.get(entry).needs.map((edge) => edge.to).filter((to) => to && distances.has(to));
  const forward = new Map();
  for (const start of starts) {
    if (!state.has(start)) visit(start, { state, order, targets, forward });
  }
  for (const entry of order.reverse()) {
    for (const next of forward.get(entry) ?? []) {
      ranks.set(next, Math.max(ranks.get(next), ranks.get(entry) + 1));
    }
  }
  return ranks;
}

/** Goes through what `start` needs: what is finished first comes first in `order`. */
function visit(start, { state, order, targets, forward }) {
  const stack = [[start, 0]];
  state.set(start, "open");
  while (stack.length > 0) {
    const top = stack[stack.length - 1];
    const [entry, at] = top;
    const all = targets(entry);
    if (at === all.length) {
      state.set(entry, "done");
      order.push(entry);
      stack.pop();
      continue;
    }
    top[1] += 1;
    const next = all[at];
    if (state.get(next) !== "open") forward.set(entry, [...(forward.get(entry) ?? []), next]);
    if (!state.has(next)) {
      state.set(next, "open");
      stack.push([next, 0]);
    }
  }
}

/** Requests of the shown objects that nothing answers, as boxes of their own. */
function missingOf(shown) {
  const missing = new Map();
  for (const entry of shown) {
    for (const edge of objects.get(entry).needs) {
      if (edge.to) continue;
      if (!missing.has(edge.name)) missing.set(edge.name, { name: edge.name, isMissing: true });
    }
  }
  return missing;
}

/** The graph of all objects: boxes with their places, and the lines between them. */
function wholeGraph() {
  const all = [...objects.keys()];
  const isRoot = (entry) => objects.get(entry).neededBy.every((edge) => edge.from === entry);
  const starts = [...all.filter(isRoot), ...all];
  const ranks = ranked(starts, new Map(all.map((entry) => [entry, 0])));
  return connected(new Map(all.map((entry) => [entry, { entry, rank: ranks.get(entry) }])), all);
}

/** The graph around an object: boxes with their places, and the lines between them. */
function graphOf(start) {
  const right = around(start, (of) => objects.get(of).needs, (edge) => edge.to, 12);
  const left = around(start, (of) => objects.get(of).neededBy, (edge) => edge.from, 2);
  const ranks = ranked([start], right);
  const boxes = new Map();
  for (const [entry, rank] of ranks) boxes.set(entry, { entry, rank });
  for (const [entry, distance] of left) {
    if (!boxes.has(entry)) boxes.set(entry, { entry, rank: -distance });
  }
  return connected(boxes, [...right.keys()]);
}

/** `boxes` by their objects, with boxes for what some of them lack, and lines between them. */
function connected(boxes, whole) {
  const [missing, lacking] = [missingOf(whole), new Set(whole)];
  const lines = [];
  for (const { entry, rank } of [...boxes.values()]) {
    for (const edge of objects.get(entry).needs) {
      const target = edge.to ?? (lacking.has(entry) ? missing.get(edge.name) : null);
      if (!target) continue;
      if (!edge.to && !boxes.has(target)) boxes.set(target, { entry: target, rank: rank + 1 });
      if (boxes.has(target)) lines.push({ edge, from: boxes.get(entry), to: boxes.get(target) });
    }
  }
  place([...boxes.values()], lines);
  return { boxes: [...boxes.values()], lines };
}

/** Puts boxes into columns by rank, each near the middle of those that it has lines to. */
function place(boxes, lines) {
  const columns = new Map();
  for (const box of boxes) {
    const column = columns.get(box.rank) ?? [];
    columns.set(box.rank, [...column, box]);
  }
  for (const column of columns.values()) {
    column.sort((a, b) => (a.entry.name < b.entry.name ? -1 : 1));
    spread(column);
  }
  const ranks = [...columns.keys()].sort((a, b) => Math.abs(a) - Math.abs(b) || a - b);
  for (let round = 0; round < 3; round += 1) {
    for (const rank of ranks) {
      const column = columns.get(rank);
      for (const box of column) box.wanted = middleOf(box, lines);
      column.sort((a, b) => a.wanted - b.wanted);
      spread(column);
    }
  }
  let left = 0;
  for (const rank of ranks.sort((a, b) => a - b)) {
    for (const box of columns.get(rank)) box.x = left + box.part * BOX.part;
    left += BOX.column + Math.max(...columns.get(rank).map(({ part }) => part)) * BOX.part;
  }
}

/** Puts the boxes of a column below each other; those of a long one in several parts. */
function spread(column) {
  const step = BOX.height + BOX.gap;
  const parts = Math.ceil(column.length / MOST_IN_COLUMN);
  const rows = Math.ceil(column.length / parts);
  column.forEach((box, at) => {
    box.part = at % parts;
    box.y = (Math.floor(at / parts) - (rows - 1) / 2) * step;
  });
}

function middleOf(box, lines) {
  let [sum, many] = [0, 0];
  for (const { from, to } of lines) {
    const other = from === box ? to : to === box ? from : null;
    if (!other || other.rank === box.rank) continue;
    sum += other.y;
    many += 1;
  }
  return many > 0 ? sum / many : box.y;
}

const curve = d3.linkHorizontal().x(([x]) => x).y(([, y]) => y);

function linePath({ from, to }) {
  const isBack = to.rank <= from.rank;
  const start = [from.x + (isBack ? 0 : BOX.width), from.y + BOX.height / 2];
  const end = [to.x + (isBack ? BOX.width : 0), to.y + BOX.height / 2];
  return curve({ source: start, target: end });
}

function edgeText({ edge }) {
  const to = edge.to ? edge.to.path : "nothing";
  return `${edge.from.path} needs ${edge.name}: ${to} (${edge.how})`;
}

/** The picture of the whole graph, or of what is around `start`. */
function drawGraph(start) {
  const { boxes, lines } = graph.isWhole ? wholeGraph() : graphOf(start);
  const frame = d3.select(byId("graph")).html(null);
  const svg = frame.append("svg").attr("role", "group").attr("aria-label", "Dependency graph");
  const inner = svg.append("g");
  const paths = inner.append("g").selectAll("path").data(lines).join("path")
    .attr("class", edgeClass)
    .attr("d", linePath);
  paths.append("title").text(edgeText);
  const nodes = inner.append("g").selectAll("g").data(boxes).join("g")
    .attr("class", ({ entry }) => nodeClass(entry))
    .attr("transform", ({ x, y }) => `translate(${x},${y})`);
  nodes.append("rect").attr("width", BOX.width).attr("height", BOX.height).attr("rx", 4);
  nodes.append("text").attr("x", 8).attr("y", BOX.height / 2)
    .text(({ entry }) => middleOut(entry.name, 24));
  nodes.append("title").text(({ entry }) => entry.path ?? `${entry.name}: not found`);
  nodes.filter(({ entry }) => !entry.isMissing)
    .attr("tabindex", "0").attr("role", "button")
    .attr("aria-label", ({ entry }) => objectLabel(entry))
    .on("click", (_, { entry }) => showObject(entry))
    .on("keydown", (event, { entry }) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      showObject(entry, true);
    });
  const light = (box) => paths.classed("lit", ({ from, to }) => from === box || to === box);
  const chosen = () => (graph.isWhole ? boxes.find(({ entry }) => entry === graph.entry) : null);
  nodes.on("pointerenter", (_, box) => light(box)).on("pointerleave", () => light(chosen()))
    .on("focus", (_, box) => light(box)).on("blur", () => light(chosen()));
  graph.choose = () => {
    nodes.attr("class", ({ entry }) => nodeClass(entry));
    light(chosen());
  };
  graph.svg = svg;
  graph.box = bounds(boxes);
  graph.zoom = d3.zoom().scaleExtent([0.02, 3])
    .filter((event) => event.type !== "wheel" || event.ctrlKey || event.metaKey)
    .on("zoom", ({ transform }) => {
      graph.scale = transform.k;
      inner.attr("transform", transform);
    });
  svg.call(graph.zoom).on("dblclick.zoom", null);
  graph.choose();
  fitGraph();
  return boxes.filter(({ entry }) => !entry.isMissing).length;
}

function edgeClass({ edge }) {
  const isOptional = edge.isOptional ? " optional" : "";
  return `edge${isOptional}${edge.to ? "" : " missing"}`;
}

function nodeClass(entry) {
  if (entry.isMissing) return "node missing";
  return entry === graph.entry ? "node start" : "node";
}

function objectLabel(entry) {
  const { needs, neededBy } = objects.get(entry);
  return `${entry.path}, needs ${needs.length}, needed by ${neededBy.length}`;
}

/** Text with its middle left out, so that the version of a library stays. */
function middleOut(text, most) {
  if (text.length <= most) return text;
  const end = Math.floor(most / 2) - 1;
  return `${text.slice(0, most - end - 1)}…${text.slice(text.length - end)}`;
}

function bounds(boxes) {
  const [xs, ys] = [boxes.map(({ x }) => x), boxes.map(({ y }) => y)];
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  const width = Math.max(...xs) + BOX.width - left;
  const placeOf = new Map(boxes.map((box) => [box.entry, box]));
  return { left, top, width, height: Math.max(...ys) + BOX.height - top, placeOf };
}

/**
 * Makes the whole graph visible; what is around its object, if its texts would be too small and
 * the graph is that of the object.
 */
function fitGraph() {
  const { width, height } = byId("graph").getBoundingClientRect();
  const box = graph.box;
  if (!box || width === 0) return;
  const whole = Math.min((width - 40) / box.width, (height - 40) / box.height);
  const scale = Math.max(graph.isWhole ? 0.02 : 0.6, Math.min(1, whole));
  const start = box.placeOf.get(graph.entry);
  const fitsWide = box.width * scale <= width - 20;
  const fitsHigh = box.height * scale <= height - 20;
  const middle = fitsHigh ? box.top + box.height / 2 : start.y + BOX.height / 2;
  const x = fitsWide
    ? width / 2 - scale * (box.left + box.width / 2)
    : Math.min(width / 3, 20 - scale * box.left) - scale * start.x;
  const y = height / 2 - scale * middle;
  graph.svg.call(graph.zoom.transform, d3.zoomIdentity.translate(x, y).scale(scale));
}

/** Brings the chosen object of the whole graph to the middle, large enough to be read. */
function zoomToObject() {
  const { width, height } = byId("graph").getBoundingClientRect();
  const { x, y } = graph.box.placeOf.get(graph.entry);
  const scale = Math.max(0.8, graph.scale);
  const [left, top] = [x + BOX.width / 2, y + BOX.height / 2];
  const transform = d3.zoomIdentity.translate(width / 2 - scale * left, height / 2 - scale * top);
  graph.svg.call(graph.zoom.transform, transform.scale(scale));
}

function edgeTable(caption, edges, end) {
  const sorted = [...edges].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  const rows = sorted.map((edge) => {
    const other = end(edge);
    const path = other ? link(other.path, () => showObject(other)) : "not found";
    const how = printable(edge.how) + (edge.isOptional ? ", optional" : "");
    return row([path, printable(edge.name), how]);
  });
  return make("div", { class: "scrolls" }, table(caption, ["Object", "As", "How found"], rows));
}

/** Shows an object in the whole graph or the graph around it, and the same as tables. */
function showObject(entry, moves = false) {
  if (!objects.has(entry)) return;
  graph.entry = entry;
  byId("object").value = entry.path;
  const { needs, neededBy } = objects.get(entry);
  if (graph.isWhole && graph.svg) {
    graph.choose();
    zoomToObject();
  } else showGraph();
  byId("graph-tables").replaceChildren(
    edgeTable(`It needs: ${count(needs.length, "request")}`, needs, (edge) => edge.to),
    edgeTable(`It is needed: ${count(neededBy.length, "request")}`, neededBy, (edge) => edge.from),
  );
  if (moves) {
    byId("dependencies").scrollIntoView();
    byId("graph").querySelector(".start")?.focus({ preventScroll: true });
  }
}

/** Draws the graph anew. */
function showGraph() {
  const shown = drawGraph(graph.entry);
  byId("graph-count").textContent =
    `${number(shown)} of ${count(objects.size, "ELF object")} shown`;
}

/** The object that is shown first: a program of the image, or the one with the most needs. */
function firstObject() {
  const all = [...objects.keys()];
  const listed = all.filter((entry) => entry.reasons.some(({ kind }) => kind === "listed"));
  const most = (a, b) => objects.get(b).needs.length - objects.get(a).needs.length;
  return (listed.length > 0 ? listed : all).sort(most)[0] ?? null;
}

function startGraph() {
  const first = firstObject();
  if (!first) {
    byId("dependencies").hidden = true;
    document.querySelector('a[href="#dependencies"]').hidden = true;
    return;
  }
  byId("objects").append(...[...objects.keys()].map(({ path }) => make("option", { value: path })));
  const byPath = new Map([...objects.keys()].map((entry) => [entry.path, entry]));
  byId("object").addEventListener("change", ({ target }) => {
    const entry = byPath.get(target.value);
    if (entry) showObject(entry);
    else target.value = graph.entry.path;
  });
  byId("graph-fit").addEventListener("click", fitGraph);
  graph.isWhole = objects.size <= MOST_IN_WHOLE;
  byId("graph-whole").checked = graph.isWhole;
  byId("graph-whole").disabled = !graph.isWhole;
  byId("graph-whole").addEventListener("change", ({ target }) => {
    graph.isWhole = target.checked;
    showGraph();
  });
  new ResizeObserver(eachFrame(fitGraph)).observe(byId("graph"));
  showObject(first);
}
