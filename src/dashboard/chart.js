/** Small charts of one number a minute: bars, or a filled line. */
import { setAttribute, setText } from "./elements.js";

const width = 600;
const height = 100;
const svgNamespace = "http://www.w3.org/2000/svg";

/** `points` are `{ at, value }`, oldest first. `label` says in words what a reader of the chart would see. */
export function drawBars(svg, points, label) {
  const most = Math.max(1, ...points.map((point) => point.value));
  const step = width / Math.max(1, points.length);
  const parts = points.map(({ value }, index) => {
    const bar = (value / most) * height;
    const left = index * step + step * 0.14;
    return value === 0 ? "" : `M${short(left)} ${height}v${short(-bar)}h${short(step * 0.72)}v${short(bar)}z`;
  });
  draw(svg, [["bars", parts.join("")]], label);
}

export function drawArea(svg, points, label) {
  const most = Math.max(1, ...points.map((point) => point.value));
  const step = width / Math.max(1, points.length);
  const line = points.map(({ value }, index) => {
    // A line on the very edge would lose half of its width.
    const y = short(height - 1 - (value / most) * (height - 4));
    return `${index === 0 ? `M0 ${y}` : `V${y}`}H${short((index + 1) * step)}`;
  });
  const path = line.join("");
  const area = path === "" ? "" : `${path}V${height}H0z`;
  draw(
    svg,
    [
      ["area", area],
      ["line", path],
    ],
    label,
  );
}

function draw(svg, paths, label) {
  setAttribute(svg, "aria-label", label);
  for (const [index, [name, data]] of paths.entries()) {
    let path = svg.children[index];
    if (path === undefined) {
      path = document.createElementNS(svgNamespace, "path");
      path.setAttribute("class", name);
      path.setAttribute("vector-effect", "non-scaling-stroke");
      svg.append(path);
    }
    setAttribute(path, "d", data);
  }
}

export function setMost(element, points) {
  const values = points.map((point) => point.value);
  setText(element, values.length === 0 ? "" : `at most ${Math.max(...values).toLocaleString()}`);
}

function short(number) {
  return Number(number.toFixed(2));
}
