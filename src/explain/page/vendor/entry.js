// What the page uses of d3: `build` bundles it into d3.js.
export { hierarchy, treemap, treemapSquarify } from "d3-hierarchy";
export { select } from "d3-selection";
export { linkHorizontal } from "d3-shape";
export { zoom, zoomIdentity } from "d3-zoom";
