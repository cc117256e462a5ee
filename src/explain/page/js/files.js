// The table of files: all of them, of which only the rows on the screen are elements.

const ROW = 28;
/** Rows that are drawn beyond the edges of the screen. */
const BEYOND = 8;
/** Browsers do not show elements higher than some ten million pixels. */
const HIGHEST = 8_000_000;
const MOST_PRINTED = 500;

const COLUMNS = [
  { title: "Path", of: (entry) => entry.path, width: "minmax(16rem, 4fr)" },
  { title: "Size", of: (entry) => entry.size, text: (entry) => sizeText(entry), isNumber: true },
  { title: "Mode", of: (entry) => permissions(entry.mode), width: "6.5rem" },
  { title: "Owner", of: (entry) => `${entry.uid}:${entry.gid}`, width: "5rem" },
  { title: "Layer", of: (entry) => entry.layer + 1, isNumber: true, width: "4.5rem" },
  { title: "Package", of: (entry) => packageName(entry), width: "minmax(7rem, 1fr)" },
  { title: "Why", of: (entry) => whyText(entry), width: "minmax(10rem, 3fr)" },
];

const FILTERS = {
  "everything": () => true,
  "files": (entry) => entry.kind === "file",
  "ELF objects": (entry) => entry.isObject,
  "links": (entry) => entry.target !== null || entry.linkTo !== null,
  "directories": (entry) => entry.isDirectory,
  "what nothing leads to": isUnreached,
  "copies of each other": (entry) => entry.isDuplicate,
  "setuid, setgid": (entry) => entry.kind === "file" && (entry.mode & 0o6000) !== 0,
};

const files = { rows: [], column: 1, isDescending: true, active: 0, body: null };

function sizeText(entry) {
  return entry.kind === "file" ? size(entry.size) : "";
}

function packageName(entry) {
  return printable(entry.package?.name ?? "");
}

function whyText(entry) {
  if (entry.target !== null && entry.reasons.length === 0) return `→ ${entry.target}`;
  if (entry.reasons.length > 0) return printable(entry.reasons[0].text);
  return isUnreached(entry) ? "nothing leads to it" : "";
}

const haystacks = new Map();

/** What a search looks through. */
function haystack(entry) {
  if (!haystacks.has(entry)) {
    const parts = [entry.path, entry.package?.name ?? "", whyText(entry)];
    haystacks.set(entry, parts.join("\n").toLowerCase());
  }
  return haystacks.get(entry);
}

function filterFiles() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter((word) => word !== "");
  const keep = FILTERS[byId("show").value];
  const fits = (entry) =>
    entry.isListed && keep(entry) && words.every((word) => haystack(entry).includes(word));
  files.rows = entries.filter(fits);
  files.active = 0;
  sortFiles();
  const bytes = files.rows.reduce((sum, entry) => sum + entry.ownBytes, 0);
  byId("files-count").textContent = `${count(files.rows.length, "path")}, ${size(bytes)}`;
}

function sortFiles() {
  const { of } = COLUMNS[files.column];
  const way = files.isDescending ? -1 : 1;
  const keyed = files.rows.map((entry) => [of(entry), entry]);
  keyed.sort(([a, entryA], [b, entryB]) =>
    a === b ? entryA.number - entryB.number : (a < b ? -1 : 1) * way);
  files.rows = keyed.map(([, entry]) => entry);
  files.body.scrollTop = 0;
  showHeads();
  showRows();
}

function showHeads() {
  byId("files-grid").setAttribute("aria-rowcount", files.rows.length + 1);
  [...byId("files-grid").querySelectorAll("[role=columnheader]")].forEach((head, at) => {
    const way = files.isDescending ? "descending" : "ascending";
    head.setAttribute("aria-sort", at === files.column ? way : "none");
  });
}

/** How far the rows have to be pushed together, so that a browser shows them all. */
function compression() {
  return Math.max(1, (files.rows.length * ROW) / HIGHEST);
}

function fileRow(entry, at, top) {
  const cells = COLUMNS.map((column) => {
    const text = String((column.text ?? column.of)(entry));
    const name = column.isNumber ? "cell number" : "cell";
    return make("div", { role: "gridcell", class: name, title: text }, text);
  });
  const element = make("div", {
    role: "row",
    class: at === files.active ? "line active" : "line",
    id: `file-${at}`,
    "aria-rowindex": at + 2,
    "aria-selected": at === files.active ? "true" : "false",
    click: () => activate(at, true),
  }, ...cells);
  element.style.top = `${top}px`;
  return element;
}

function showRows() {
  const { body } = files;
  const factor = compression();
  const offset = body.scrollTop * factor;
  const first = Math.max(0, Math.floor(offset / ROW) - BEYOND);
  const last = Math.min(files.rows.length, first + Math.ceil(body.clientHeight / ROW) + 2 * BEYOND);
  const lines = [];
  for (let at = first; at < last; at += 1) {
    lines.push(fileRow(files.rows[at], at, at * ROW - offset + body.scrollTop));
  }
  const space = make("div", { class: "space", role: "presentation" });
  space.style.height = `${(files.rows.length * ROW) / factor}px`;
  body.replaceChildren(space, ...lines);
  const isShown = files.active >= first && files.active < last;
  const grid = byId("files-grid");
  if (isShown) grid.setAttribute("aria-activedescendant", `file-${files.active}`);
  else grid.removeAttribute("aria-activedescendant");
}

/** Makes a row the active one; `isOpened` shows what is said of it beside the map. */
function activate(at, isOpened) {
  files.active = Math.max(0, Math.min(files.rows.length - 1, at));
  const { body } = files;
  const factor = compression();
  const top = (files.active * ROW) / factor;
  if (top < body.scrollTop) body.scrollTop = top;
  const bottom = top + ROW / factor;
  if (bottom > body.scrollTop + body.clientHeight) body.scrollTop = bottom - body.clientHeight;
  showRows();
  const entry = files.rows[files.active];
  if (isOpened && entry) select(entry);
}

function onFilesKey(event) {
  if (event.target.closest("button")) return;
  const page = Math.max(1, Math.floor(files.body.clientHeight / ROW) - 1);
  const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page };
  if (event.key in steps) activate(files.active + steps[event.key], false);
  else if (event.key === "Home") activate(0, false);
  else if (event.key === "End") activate(files.rows.length - 1, false);
  else if (event.key === "Enter") activate(files.active, true);
  else return;
  event.preventDefault();
}

/** Sorts by a column; once more turns the order round. Numbers begin with the largest. */
function sortBy(at) {
  const isSame = files.column === at;
  files.isDescending = isSame ? !files.isDescending : Boolean(COLUMNS[at].isNumber);
  files.column = at;
  sortFiles();
}

/** Shows in the table what has `path` in it. */
function searchFor(path) {
  byId("search").value = path;
  byId("show").value = "everything";
  filterFiles();
  byId("files").scrollIntoView();
  byId("search").focus({ preventScroll: true });
}

/** Shows one of the filters in the table. */
function showFilter(name) {
  byId("search").value = "";
  byId("show").value = name;
  filterFiles();
  byId("files").scrollIntoView();
}

/** A table of the largest files takes the place of the scrolling one on paper. */
function printFiles() {
  const rows = files.rows.slice(0, MOST_PRINTED);
  const lines = rows.map((entry) => row(COLUMNS.map((column) => {
    const text = String((column.text ?? column.of)(entry));
    return column.isNumber ? { number: text } : text;
  })));
  const titles = COLUMNS.map((column) => (column.isNumber ? `#${column.title}` : column.title));
  const caption = `${number(rows.length)} of ${count(files.rows.length, "path")}`;
  byId("files-grid").after(table(caption, titles, lines, { id: "printed" }));
}

function startFiles() {
  byId("show").append(...Object.keys(FILTERS).map((name) => make("option", {}, name)));
  const heads = COLUMNS.map((column, at) => make("div", {
    role: "columnheader", class: column.isNumber ? "cell number" : "cell",
  }, make("button", { type: "button", click: () => sortBy(at) }, column.title)));
  files.body = make("div", { class: "lines", role: "rowgroup", tabindex: "-1" });
  const grid = byId("files-grid");
  grid.setAttribute("role", "grid");
  grid.setAttribute("tabindex", "0");
  grid.setAttribute("aria-labelledby", "files-title");
  grid.style.setProperty("--columns", COLUMNS.map((one) => one.width ?? "6rem").join(" "));
  grid.append(make("div", { role: "row", class: "line heads", "aria-rowindex": "1" }, ...heads),
    files.body);
  grid.addEventListener("keydown", onFilesKey);
  files.body.addEventListener("scroll", eachFrame(showRows));
  new ResizeObserver(eachFrame(showRows)).observe(files.body);
  byId("search").addEventListener("input", filterFiles);
  byId("show").addEventListener("change", filterFiles);
  addEventListener("beforeprint", printFiles);
  addEventListener("afterprint", () => byId("printed")?.remove());
  filterFiles();
}
