// The data of the image: entries as objects, with their places in the tree.

const data = JSON.parse(document.getElementById("data").textContent);

/** What the image has at one path. */
class Entry {
  constructor(number, [parent, name, kind, size, mode, uid, gid, layer, pkg, leadsTo]) {
    this.number = number;
    this.parent = parent < 0 ? null : entries[parent];
    this.name = name;
    this.path = !this.parent ? "/" : `${this.parent.parent ? this.parent.path : ""}/${name}`;
    this.kind = data.texts[kind];
    this.size = size;
    /** Whether the image lists it: a directory may be there only because of what is in it. */
    this.isListed = mode >= 0;
    this.mode = mode;
    this.uid = uid;
    this.gid = gid;
    this.layer = layer;
    this.package = pkg < 0 ? null : data.packages[pkg];
    this.target = typeof leadsTo === "string" ? leadsTo : null;
    /** The number of the first name of a file with several. */
    this.linkTo = typeof leadsTo === "number" ? leadsTo : null;
    this.isDirectory = this.kind === "directory";
    this.children = [];
    this.reasons = [];
    this.isObject = false;
    this.isDuplicate = false;
    /** Bytes and files in it, at any depth. Content with several names counts at the first. */
    this.total = 0;
    this.files = 0;
    if (this.parent) this.parent.children.push(this);
  }

  /** Bytes that this name stands for. */
  get ownBytes() {
    return this.linkTo === null ? this.size : 0;
  }
}

const entries = [];
for (const row of data.entries) entries.push(new Entry(entries.length, row));
const root = entries[0];

// Children come after their parents.
for (let at = entries.length - 1; at >= 0; at -= 1) {
  const entry = entries[at];
  if (entry.kind === "file" && entry.linkTo === null) {
    entry.total += entry.size;
    entry.files += 1;
  }
  if (entry.parent) {
    entry.parent.total += entry.total;
    entry.parent.files += entry.files;
  }
}
for (const entry of entries) {
  entry.children.sort((a, b) => b.total - a.total || (a.path < b.path ? -1 : 1));
}

for (const [number, reasons] of data.reasons) {
  entries[number].reasons = reasons.map(([kind, cause, text]) => ({
    kind: data.texts[kind],
    cause: cause < 0 ? null : entries[cause],
    text: data.texts[text],
  }));
}
for (const number of data.elf.objects) entries[number].isObject = true;
for (const one of data.duplicates) {
  for (const number of one.paths) entries[number].isDuplicate = true;
}
const isResolved = data.unresolved === null;
const isUnreached = (entry) =>
  isResolved && !entry.isDirectory && entry.reasons.length === 0;

const UNITS = ["kB", "MB", "GB", "TB"];

/** Bytes as people read them, in powers of 1000. */
function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  let value = bytes;
  let unit = -1;
  while (value >= 999.95 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value.toFixed(1)} ${UNITS[unit]}`;
}

const number = (value) => value.toLocaleString("en-US");

/** A count with its noun, whose plural ends in s unless it is given. */
function count(value, noun, plural = `${noun}s`) {
  return `${number(value)} ${value === 1 ? noun : plural}`;
}

function share(part, whole) {
  if (whole === 0) return "";
  const percent = (100 * part) / whole;
  if (percent > 0 && percent < 0.1) return "< 0.1 %";
  return `${percent.toFixed(1)} %`;
}

/** A mode as ls(1) shows it. */
function permissions(mode) {
  let text = "";
  for (const shift of [6, 3, 0]) {
    const bits = (mode >> shift) & 7;
    const special = mode & (0o1000 << (shift / 3));
    const letter = shift === 0 ? "t" : "s";
    const execute = bits & 1 ? "x" : "-";
    const third = special ? (bits & 1 ? letter : letter.toUpperCase()) : execute;
    text += (bits & 4 ? "r" : "-") + (bits & 2 ? "w" : "-") + third;
  }
  return text;
}

/** Text with what is not printable escaped: nothing in it changes the direction of a line. */
function printable(text) {
  const escaped = (char) => `\\u{${char.codePointAt(0).toString(16)}}`;
  return String(text).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, escaped);
}
