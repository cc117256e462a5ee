// The map: the directory that is shown, its tiles, its list, and how one moves between them.

/** Tiles that are buttons: the largest. All of a directory's content is in its list. */
const MOST_BUTTONS = 80;
const MOST_LISTED = 200;
const ZOOM_TIME = 180;

const map = { directory: root, scheme: SCHEMES.reason, top: null, hovered: null, selected: null };

function mapStyle() {
  const style = getComputedStyle(document.documentElement);
  const value = (name) => style.getPropertyValue(name).trim();
  return {
    ink: value("--ink"),
    quiet: value("--quiet"),
    label: isDark() ? "#f4f5f7" : "#16181d",
    surface: value("--surface"),
    odd: value("--tile-odd"),
    even: value("--tile-even"),
    groupOf: map.scheme.groupOf,
  };
}

/** Makes the canvas as large as its place on this screen; its context, in CSS pixels. */
function prepare(canvas) {
  const box = byId("tiles").getBoundingClientRect();
  const scale = devicePixelRatio || 1;
  canvas.width = Math.round(box.width * scale);
  canvas.height = Math.round(box.height * scale);
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  return { context, width: box.width, height: box.height };
}

function drawMap() {
  const { context, width, height } = prepare(byId("drawing"));
  map.top = layOut(map.directory, width, height);
  drawTreemap(context, map.top, mapStyle());
  byId("tiles-empty").hidden = map.directory.total > 0;
  showButtons();
}

/** Puts a button over each of the largest tiles, for pointer, keyboard and screen reader. */
function showButtons() {
  const nodes = (map.top.children ?? [])
    .filter((node) => node.x1 - node.x0 >= 4 && node.y1 - node.y0 >= 4)
    .slice(0, MOST_BUTTONS);
  const buttons = nodes.map((node, at) => {
    const entry = node.data;
    const part = share(entry.total, map.directory.total);
    const label = `${entry.name}, ${entry.isDirectory ? "directory" : "file"}, ` +
      `${size(entry.total)}, ${part}`;
    const button = make("button", {
      type: "button",
      class: "tile",
      "aria-label": label,
      tabindex: at === 0 ? "0" : "-1",
      "data-path": entry.path,
      click: () => open(entry),
    });
    Object.assign(button.style, {
      left: `${node.x0}px`,
      top: `${node.y0}px`,
      width: `${node.x1 - node.x0}px`,
      height: `${node.y1 - node.y0}px`,
    });
    return button;
  });
  byId("tile-buttons").replaceChildren(...buttons);
}

function showCrumbs() {
  const parts = [];
  for (let entry = map.directory; entry; entry = entry.parent) {
    const name = entry.parent ? entry.name : "/";
    const target = entry;
    parts.unshift(entry === map.directory
      ? make("span", { "aria-current": "true" }, name)
      : link(name, () => goTo(target)));
  }
  const items = parts.map((part) => make("li", {}, part));
  const amount = `${size(map.directory.total)} in ${count(map.directory.files, "file")}`;
  byId("crumbs").replaceChildren(make("ol", {}, ...items),
    make("span", { class: "quiet" }, amount));
}

/** What a directory or file counts for, in full. */
const exactly = (entry) =>
  `${count(entry.total, "byte")} in ${count(entry.files, "file")}`;

function listingRow(entry) {
  const part = map.directory.total > 0 ? entry.total / map.directory.total : 0;
  const bar = make("span", { class: "share" });
  bar.style.width = `${(100 * part).toFixed(2)}%`;
  const name = entry.name + (entry.isDirectory ? "/" : "");
  return row([
    make("div", { class: "bar-cell" }, bar, link(name, () => open(entry))),
    { number: make("span", { title: exactly(entry) }, size(entry.total)) },
    { number: share(entry.total, map.directory.total) },
  ], 0);
}

/** The content of the directory as a table: what the tiles show, for who does not see them. */
function showListing() {
  const { children } = map.directory;
  const rows = children.slice(0, MOST_LISTED).map(listingRow);
  const parts = [table(`In ${map.directory.path}`, ["Name", "#Size", "#Share"], rows)];
  if (children.length > MOST_LISTED) {
    const more = `and ${count(children.length - MOST_LISTED, "more name")} in the table of files`;
    parts.push(link(more, () => searchFor(map.directory.path)));
  }
  byId("listing").replaceChildren(...parts);
  byId("listing").scrollTop = 0;
}

function showLegend() {
  const { scheme } = map;
  const items = groupsBelow(map.directory, scheme).map(({ group, bytes, files }) => {
    const swatch = make("span", { class: "swatch" });
    swatch.style.background = colour(group);
    const title = group === null ? scheme.other : scheme.titles[group];
    return make("li", {}, swatch, printable(title), " ",
      make("span", { class: "quiet" }, `${size(bytes)} in ${count(files, "file")}`));
  });
  byId("legend").replaceChildren(...items);
}

/** Grows the tile of a directory until it is the whole map, or the other way round. */
function animate(before, from, isInto) {
  if (!canMove() || !from) return;
  const canvas = byId("drawing");
  const after = make("canvas");
  [after.width, after.height] = [canvas.width, canvas.height];
  after.getContext("2d").drawImage(canvas, 0, 0);
  const context = canvas.getContext("2d");
  const scale = devicePixelRatio || 1;
  const [width, height] = [canvas.width, canvas.height];
  const start = performance.now();
  const step = (now) => {
    const time = Math.min(1, (now - start) / ZOOM_TIME);
    const eased = 1 - (1 - time) ** 3;
    const part = isInto ? eased : 1 - eased;
    const [x, y] = [from.x0 * scale * (1 - part), from.y0 * scale * (1 - part)];
    const wide = (from.x1 - from.x0) * scale * (1 - part) + width * part;
    const high = (from.y1 - from.y0) * scale * (1 - part) + height * part;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.globalAlpha = 1;
    context.drawImage(isInto ? before : after, 0, 0, width, height);
    context.globalAlpha = isInto ? Math.min(1, part * 1.5) : part;
    context.drawImage(isInto ? after : before, x, y, wide, high);
    context.globalAlpha = 1;
    if (time < 1) requestAnimationFrame(step);
    else context.drawImage(after, 0, 0, width, height);
  };
  step(start);
}

/** Shows another directory. */
function goTo(directory, focus = false) {
  const { directory: left, top } = map;
  const canvas = byId("drawing");
  const before = make("canvas");
  [before.width, before.height] = [canvas.width, canvas.height];
  if (canvas.width > 0 && canvas.height > 0) before.getContext("2d").drawImage(canvas, 0, 0);
  map.directory = directory;
  map.selected = directory;
  hideTooltip();
  showAll();
  const tile = (of, entry) => (of?.children ?? []).find((node) => node.data === entry);
  if (directory.parent === left) animate(before, tile(top, directory), true);
  if (left.parent === directory) animate(before, tile(map.top, left), false);
  announce(`${directory.path}, ${size(directory.total)} in ${count(directory.files, "file")}`);
  if (focus) {
    const buttons = [...byId("tile-buttons").children];
    const button = buttons.find((one) => one.dataset.path === left.path) ?? buttons[0];
    (button ?? byId("listing")).focus({ preventScroll: true });
  }
}

function showAll() {
  drawMap();
  showCrumbs();
  showListing();
  showLegend();
  showDetails(map.selected ?? map.directory);
}

/** Looks into a directory, or shows what is said of a file. */
function open(entry) {
  const hasFocus = byId("tiles").contains(document.activeElement);
  if (entry.isDirectory) goTo(entry, hasFocus);
  else select(entry);
}

/** Shows what is said of an entry, and the directory that it is in. */
function select(entry) {
  map.selected = entry;
  if (!entry.isDirectory && entry.parent !== map.directory && !isBelow(entry, map.directory)) {
    goTo(entry.parent);
  }
  map.selected = entry;
  showDetails(entry);
  announce(`${entry.path}, ${size(entry.size)}`);
}

function isBelow(entry, directory) {
  let at = entry;
  while (at && at !== directory) at = at.parent;
  return at === directory;
}

/** The tile in this direction whose middle is nearest. */
function neighbour(button, key) {
  const middle = (one) => {
    const box = one.getBoundingClientRect();
    return [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
  };
  const [x, y] = middle(button);
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const [dx, dy] = ways[key];
  let best = null;
  for (const other of byId("tile-buttons").children) {
    const [ox, oy] = middle(other);
    const along = (ox - x) * dx + (oy - y) * dy;
    const across = Math.abs((ox - x) * dy) + Math.abs((oy - y) * dx);
    if (other === button || along <= 0) continue;
    const distance = along + 2 * across;
    if (!best || distance < best.distance) best = { other, distance };
  }
  return best?.other ?? null;
}

function focusTile(button) {
  for (const other of byId("tile-buttons").children) other.tabIndex = -1;
  button.tabIndex = 0;
  button.focus();
}

function onMapKey(event) {
  const buttons = byId("tile-buttons").children;
  const button = event.target.closest(".tile");
  if (event.key === "Escape" || event.key === "Backspace") {
    if (map.directory.parent) goTo(map.directory.parent, true);
  } else if (event.key.startsWith("Arrow") && button) {
    const next = neighbour(button, event.key);
    if (next) focusTile(next);
  } else if (event.key === "Home" && buttons.length > 0) focusTile(buttons[0]);
  else if (event.key === "End" && buttons.length > 0) focusTile(buttons[buttons.length - 1]);
  else return;
  event.preventDefault();
}

function onMapPointer(event) {
  const box = byId("tiles").getBoundingClientRect();
  const node = map.top && nodeAt(map.top, event.clientX - box.left, event.clientY - box.top);
  if (node) showTooltip(node.data, event.clientX, event.clientY);
  else hideTooltip();
}

function chooseColours() {
  const choices = Object.entries(SCHEMES).map(([name, scheme]) => {
    const choose = () => {
      map.scheme = scheme;
      drawMap();
      showLegend();
    };
    const input = make("input", {
      type: "radio", name: "colours", value: name, checked: scheme === map.scheme, change: choose,
    });
    return make("label", {}, input, scheme.label);
  });
  byId("colour-by").append(...choices);
}

function startMap() {
  chooseColours();
  const tiles = byId("tiles");
  tiles.addEventListener("keydown", onMapKey);
  tiles.addEventListener("pointermove", onMapPointer);
  tiles.addEventListener("pointerleave", hideTooltip);
  byId("listing").addEventListener("keydown", (event) => {
    if (event.key === "Escape" && map.directory.parent) goTo(map.directory.parent);
  });
  const redraw = eachFrame(() => {
    drawMap();
    showLegend();
  });
  new ResizeObserver(redraw).observe(tiles);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  showAll();
}
