// The head of the page, the tables that do not change, and the start.

const sum = (all, of) => all.reduce((total, one) => total + of(one), 0);

function showHead() {
  byId("title").textContent = data.image.title;
  const listed = entries.filter((entry) => entry.isListed);
  const facts = [
    ["Platform", data.image.platform],
    ["Compressed", size(sum(data.layers, (layer) => layer.size))],
    ["Files", `${size(root.total)} in ${number(root.files)}`],
    ["Paths", number(listed.length)],
    ["Layers", number(data.layers.length)],
  ];
  if (data.packages.length > 0) facts.push(["Packages", number(data.packages.length)]);
  if (isResolved) {
    facts.push(["Nothing leads to", size(sum(data.unreached, ([, bytes]) => bytes))]);
    facts.push(["Reasons", data.recorded ? "attached to the image" : "found again in the image"]);
  }
  const item = ([name, text]) => make("div", {}, make("dt", {}, name), make("dd", {}, text));
  byId("facts").replaceChildren(...facts.map(item));
  byId("made-by").textContent = `imgb ${data.imgb}`;
}

function showLayers() {
  const rows = data.layers.map((layer, at) => row([
    { number: String(at + 1) },
    { number: size(layer.size) },
    { number: size(layer.tar_size) },
    { number: number(layer.paths) },
    { number: number(layer.whiteouts) },
    layer.format,
    make("code", { title: layer.digest }, `${layer.digest.slice(0, 19)}…`),
    printable(layer.created_by),
  ]));
  const titles = ["#Layer", "#Compressed", "#Unpacked", "#Paths", "#Removes", "Format", "Digest",
    "Made by"];
  byId("layers-table").replaceChildren(table("Lowest first", titles, rows));
}

/** A list of the largest wasted files, with the sum of all. */
function wasteList(title, about, bytes, lines, more) {
  const rows = lines.slice(0, 10);
  const parts = [
    make("h3", {}, title, " ", make("span", { class: "quiet" }, size(bytes))),
    make("p", { class: "quiet" }, about),
  ];
  if (rows.length > 0) parts.push(table(title, ["#Size", "Path"], rows, { class: "untitled" }));
  if (lines.length > rows.length || more) {
    const left = `${count(lines.length, "line")} in all`;
    parts.push(make("p", { class: "quiet" }, more ?? left));
  }
  return make("div", { class: "waste" }, ...parts);
}

function showWaste() {
  const place = (number) => link(entries[number].path, () => select(entries[number]));
  const unreached = data.unreached.map(([number, bytes]) =>
    row([{ number: size(bytes) }, place(number)]));
  const copies = data.duplicates.map((one) => {
    const names = one.paths.slice(0, 3).flatMap((at, index) => [index ? " = " : "", place(at)]);
    const left = one.paths.length - 3;
    const more = left > 0 ? ` and ${number(left)} more` : "";
    const cell = make("span", {}, ...names, more);
    return row([{ number: size(one.size * (one.paths.length - 1)) }, cell]);
  });
  const hidden = data.hidden.map((one) => row([
    { number: size(one.size) },
    `${one.path} (layer ${one.layer + 1}, ${one.replaced ? "replaced" : "removed"} later)`,
  ]));
  const all = (filter) => link("All of them in the table", () => showFilter(filter));
  byId("waste-lists").replaceChildren(
    wasteList("Nothing leads to",
      isResolved
        ? "Nothing that the image starts leads to these. They may still be opened in a way that " +
          "no file tells: run the program before you leave them out."
        : `Not known: ${printable(data.unresolved)}.`,
      sum(data.unreached, ([, bytes]) => bytes), unreached,
      unreached.length > 10 ? all("what nothing leads to") : null),
    wasteList("Copies", "Files with the same content under several names.",
      sum(data.duplicates, (one) => one.size * (one.paths.length - 1)), copies,
      copies.length > 10 ? all("copies of each other") : null),
    wasteList("Hidden", "Files that a later layer replaces or removes.",
      sum(data.hidden, (one) => one.size), hidden, null),
  );
}

function showPackages() {
  if (data.packages.length === 0) {
    byId("packages-table").textContent = "The image has no database of packages.";
    return;
  }
  const sorted = [...data.packages].sort((a, b) => b.size - a.size);
  const rows = sorted.map((one) => row([
    link(printable(one.name), () => searchFor(one.name)),
    printable(one.version),
    printable(one.architecture),
    { number: number(one.files) },
    { number: size(one.size) },
  ], 0));
  const caption = `${count(rows.length, "package")} (${data.packages[0].database})`;
  const titles = ["Package", "Version", "Architecture", "#Files", "#Size"];
  byId("packages-table").replaceChildren(table(caption, titles, rows));
}

/** The configuration's fields, one in a row; lists and objects have a row for each of theirs. */
function configRows(name, value) {
  if (value === null || value === "" || value === false) return [];
  if (Array.isArray(value) && (name === "Entrypoint" || name === "Cmd")) {
    return [[name, JSON.stringify(value)]];
  }
  if (Array.isArray(value)) return value.map((one) => [name, one]);
  if (typeof value === "object") {
    return Object.entries(value).map(([key, one]) => {
      const isEmpty = one === null || (typeof one === "object" && Object.keys(one).length === 0);
      const text = typeof one === "string" ? one : JSON.stringify(one);
      return [name, isEmpty ? key : `${key}=${text}`];
    });
  }
  return [[name, value]];
}

function showConfig() {
  const rows = [
    ...data.image.names.map((name) => ["name", name]),
    ["manifest", data.image.digest],
    ["image ID", data.image.image_id],
    ...data.image.platforms.map((platform) => ["platform", platform]),
    ["created", data.config.created],
  ].filter(([, value]) => value);
  for (const [name, value] of Object.entries(data.config.config ?? {})) {
    rows.push(...configRows(name, value));
  }
  const line = ([name, value]) =>
    row([printable(name), make("code", {}, printable(value))], 0);
  byId("config-table").replaceChildren(table("Fields", ["Field", "Value"], rows.map(line)));
  const lines = JSON.stringify(data.config, null, 2).split("\n");
  byId("config-json").textContent = lines.map(printable).join("\n");
}

showHead();
showLayers();
showWaste();
showPackages();
showConfig();
startFiles();
startMap();
startGraph();
