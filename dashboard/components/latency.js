// One hop of a price in sixty minutes: p50 as a line, p99 as a dashed one; a minute without either is a gap.
const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 60;
const HEIGHT = 100; // of the picture; it is stretched to its box, and lines keep their width

function made(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

// the next of 1, 2, 5, 10, 20 ... in either direction from zero
function round(value) {
  if (!value) return 0;
  const size = Math.abs(value);
  const power = 10 ** Math.floor(Math.log10(size));
  const step = [1, 2, 5, 10].find((s) => s * power >= size * 0.9999);
  return Math.sign(value) * step * power;
}

// Ten times as long is one step up: a bad minute leaves the others readable. Below zero there is no such scale.
function scaled(values) {
  if (!values.length) return { ticks: [], y: () => 0 };
  const [least, most] = [Math.min(...values), Math.max(...values)];
  if (least <= 0) {
    const [low, top] = [round(least), Math.max(0, round(most))];
    const y = (value) => HEIGHT * (1 - (value - low) / (top - low || 1));
    return { ticks: [...new Set([top, 0, low])], y };
  }
  const low = Math.floor(Math.log10(least));
  const top = Math.max(low + 1, Math.ceil(Math.log10(most)));
  const every = Math.ceil((top - low) / 4);
  const ticks = [];
  for (let power = low; power <= top; power += every) ticks.push(10 ** power);
  return { ticks, y: (value) => HEIGHT * (1 - (Math.log10(value) - low) / (top - low)) };
}

function written(value) {
  return Number(value.toPrecision(2)).toLocaleString("en-IN", { maximumFractionDigits: 4 }) + " ms";
}

function label(text, y) {
  const span = document.createElement("span");
  span.textContent = text;
  if (y !== undefined) span.style.top = y + "%";
  return span;
}

// known minutes that follow each other are joined; a lonely one is a dot
function path(points, place, y) {
  let d = "";
  points.forEach((point, i) => {
    if (!point) return;
    const x = i + 0.5;
    const joined = i > 0 && points[i - 1];
    d += (joined ? "L" : "M") + x + " " + y(point[place]).toFixed(2);
    if (!joined && !points[i + 1]) d += "h0.01"; // a round cap makes it a dot
  });
  return d;
}

export default {
  template:
    '<div class="h-hop-chart"><div class="h-hop-scale"></div><div class="h-hop-plot"></div><div class="h-hop-times"></div></div>',
  props: { points: Array, times: Array, words: String },
  mounted() {
    this.draw();
  },
  watch: {
    points() {
      this.draw();
    },
  },
  methods: {
    draw() {
      const points = this.points || [];
      const { ticks, y } = scaled(points.filter(Boolean).flatMap((p) => [p[1], p[2]]));
      const svg = made("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": this.words || "" });
      for (const value of ticks) svg.append(made("line", { class: "h-hop-grid", x1: 0, x2: WIDTH, y1: y(value), y2: y(value) }));
      points.forEach((point, i) => point || svg.append(made("rect", { class: "h-hop-gap", x: i, y: 0, width: 1, height: HEIGHT })));
      svg.append(made("path", { class: "h-hop-p99", d: path(points, 2, y) }));
      svg.append(made("path", { class: "h-hop-p50", d: path(points, 1, y) }));
      points.forEach((point, i) => {
        const place = made("rect", { class: "h-hop-place", x: i, y: 0, width: 1, height: HEIGHT });
        const title = made("title", {});
        title.textContent = point ? point[3] : "nothing was measured in this minute: the market was closed, the desk was not running, or there was nothing to measure";
        place.append(title);
        svg.append(place);
      });
      const [scale, plot, times] = this.$el.children;
      plot.replaceChildren(svg);
      scale.replaceChildren(...ticks.map((value) => label(written(value), y(value))));
      times.replaceChildren(...(this.times || []).map((text) => label(text)));
    },
  },
};
