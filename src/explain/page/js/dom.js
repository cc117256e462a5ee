// Elements of the page.

const byId = (id) => document.getElementById(id);

/** An element with attributes, event handlers (functions) and content: text or elements. */
function make(tag, attributes = {}, ...content) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null) element.setAttribute(name, value);
  }
  element.append(...content.filter((one) => one !== null));
  return element;
}

/** A row of a table: numbers (`{number: text}`) are aligned at the right. */
function row(cells, header = null) {
  const cell = (one, at) => {
    if (at === header) return make("th", { scope: "row" }, one);
    if (one !== null && typeof one === "object" && "number" in one) {
      return make("td", { class: "number" }, one.number);
    }
    return make("td", {}, one ?? "");
  };
  return make("tr", {}, ...cells.map(cell));
}

/** A table with a caption and the titles of its columns; those of numbers start with `#`. */
function table(caption, titles, rows, attributes = {}) {
  const title = (text) =>
    text.startsWith("#")
      ? make("th", { scope: "col", class: "number" }, text.slice(1))
      : make("th", { scope: "col" }, text);
  const head = make("thead", {}, make("tr", {}, ...titles.map(title)));
  const body = make("tbody", {}, ...rows);
  return make("table", attributes, make("caption", {}, caption), head, body);
}

/** A button that looks like a link. */
function link(text, click, attributes = {}) {
  return make("button", { type: "button", class: "link", click, ...attributes }, text);
}

/** Says something to users of screen readers. */
function announce(text) {
  byId("status").textContent = text;
}

/** Whether the reader wants things to move. */
const canMove = () => !matchMedia("(prefers-reduced-motion: reduce)").matches;
const isDark = () => matchMedia("(prefers-color-scheme: dark)").matches;

/** Calls `draw` once before the next frame, however often it is asked for. */
function eachFrame(draw) {
  let isAskedFor = false;
  return () => {
    if (isAskedFor) return;
    isAskedFor = true;
    requestAnimationFrame(() => {
      isAskedFor = false;
      draw();
    });
  };
}
