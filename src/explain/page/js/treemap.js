// The treemap of a directory: rectangles, drawn on a canvas.

const HEADER = 18;
/** Pixels of a file's area below which it is not drawn alone, but as a part of its directory. */
const SMALLEST = 3;
const FONT = "12px system-ui, sans-serif";

/** The rectangles of what is in `directory`, for an area of `width` × `height` pixels. */
function layOut(directory, width, height) {
  const pixels = (width * height) / Math.max(1, directory.total);
  const children = (entry) => {
    const isLarge = entry === directory || entry.total * pixels >= SMALLEST;
    const all = isLarge ? entry.children.filter((child) => child.total > 0) : [];
    return all.length > 0 ? all : null;
  };
  const top = d3.hierarchy(directory, children);
  top.each((node) => {
    node.value = node.data.total;
  });
  const hasHeader = (node) =>
    node.depth > 0 && node.x1 - node.x0 > 36 && node.y1 - node.y0 > HEADER + 12;
  const isRoomy = (node) => node.x1 - node.x0 > 12 && node.y1 - node.y0 > 12;
  d3.treemap()
    .size([width, height])
    .tile(d3.treemapSquarify)
    .paddingInner((node) => (isRoomy(node) ? 1 : 0))
    .paddingOuter((node) => (node.depth > 0 && isRoomy(node) ? 2 : 0))
    .paddingTop((node) => (hasHeader(node) ? HEADER : node.depth > 0 && isRoomy(node) ? 2 : 0))
    .round(false)(top);
  top.each((node) => {
    node.hasHeader = hasHeader(node) && Boolean(node.children);
  });
  return top;
}

/** The deepest rectangle at a point, or null. */
function nodeAt(top, x, y) {
  const holds = (node) => x >= node.x0 && x < node.x1 && y >= node.y0 && y < node.y1;
  let found = holds(top) ? top : null;
  for (let next = found; next; ) {
    next = (next.children ?? []).find(holds) ?? null;
    found = next ?? found;
  }
  return found === top ? null : found;
}

/** Shortens `text` with an ellipsis, so that it is at most `width` pixels wide. */
function shortened(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  let [low, high] = [0, text.length];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (context.measureText(`${text.slice(0, middle)}…`).width <= width) low = middle;
    else high = middle - 1;
  }
  return low === 0 ? "" : `${text.slice(0, low)}…`;
}

/** Fills a rectangle; edges of all that are not tiny are those of pixels. */
function fillSharply(context, { x0, y0, x1, y1 }) {
  const isTiny = x1 - x0 < 4 || y1 - y0 < 4;
  const edges = isTiny ? [x0, y0, x1, y1] : [x0, y0, x1, y1].map(Math.round);
  context.fillRect(edges[0], edges[1], edges[2] - edges[0], edges[3] - edges[1]);
}

function drawHeader(context, node, style) {
  const width = node.x1 - node.x0;
  context.fillStyle = style.ink;
  const name = shortened(context, node.data.name, width - 8);
  context.fillText(name, node.x0 + 4, node.y0 + HEADER / 2);
  const used = context.measureText(name).width;
  const amount = size(node.data.total);
  context.fillStyle = style.quiet;
  if (used + context.measureText(amount).width + 20 < width) {
    context.textAlign = "right";
    context.fillText(amount, node.x1 - 4, node.y0 + HEADER / 2);
    context.textAlign = "left";
  }
}

function drawFile(context, node, style) {
  const [width, height] = [node.x1 - node.x0, node.y1 - node.y0];
  context.fillStyle = colour(style.groupOf(node.data));
  fillSharply(context, node);
  if (width < 42 || height < 16) return;
  context.fillStyle = style.label;
  const name = shortened(context, node.data.name, width - 8);
  context.fillText(name, node.x0 + 4, node.y0 + 10);
  if (height > 34 && width > 56) {
    context.globalAlpha = 0.75;
    context.fillText(size(node.data.total), node.x0 + 4, node.y0 + 26);
    context.globalAlpha = 1;
  }
}

/** Draws rectangles, each over that of its directory; those under a pixel are left out. */
function drawTreemap(context, top, style) {
  context.font = FONT;
  context.textBaseline = "middle";
  context.fillStyle = style.surface;
  context.fillRect(top.x0, top.y0, top.x1 - top.x0, top.y1 - top.y0);
  top.eachBefore((node) => {
    const [width, height] = [node.x1 - node.x0, node.y1 - node.y0];
    if (node === top || width < 0.75 || height < 0.75) return;
    if (!node.children) {
      drawFile(context, node, style);
      return;
    }
    context.fillStyle = node.depth % 2 === 1 ? style.odd : style.even;
    fillSharply(context, node);
    if (node.hasHeader) drawHeader(context, node, style);
  });
}
