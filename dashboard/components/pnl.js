// The day's P&L: one line over a zero line, open where it was not known, with every fill marked upon it.
import { echarts } from "nicegui-echart";

const SHORTEST = 600000; // ms that the chart shows at least
const HOLE = 30000; // ms without a point: nobody knows what was between
const LINE = "P&L";
const MOST = 9000; // points that are kept; a day has 4,500

function clock(at) {
  return new Date(at + 19800000).toISOString().slice(11, 19);
}

function grouped(value, decimals) {
  return Math.abs(value).toLocaleString("en-IN", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

function money(value, decimals = 2) {
  const sign = value > 0 ? "+" : value < 0 ? "-" : "";
  return sign + "₹" + grouped(value, decimals);
}

function hatch(colour) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 8;
  const pen = canvas.getContext("2d");
  pen.strokeStyle = colour;
  pen.beginPath();
  for (const x of [-8, 0, 8]) {
    pen.moveTo(x, 8);
    pen.lineTo(x + 8, 0);
  }
  pen.stroke();
  return { image: canvas, repeat: "repeat" };
}

export default {
  template: '<div class="v-pnl" role="img" :aria-label="words"></div>',
  data() {
    return { words: "P&L of the day" };
  },
  mounted() {
    this.points = [];
    this.fills = [];
    this.gaps = [];
    this.chart = echarts.init(this.$el, null, { renderer: "canvas" });
    this.resizer = new ResizeObserver(() => this.chart.resize());
    this.resizer.observe(this.$el);
    this.watcher = new MutationObserver((changes) => changes.some((c) => c.attributeName === "class") && this.draw());
    this.watcher.observe(document.body, { attributes: true, attributeFilter: ["class"] });
    this.$emit("ready");
  },
  unmounted() {
    this.resizer.disconnect();
    this.watcher.disconnect();
    this.chart.dispose();
  },
  methods: {
    load(picture) {
      this.points = picture.points.slice();
      this.fills = picture.fills;
      this.gaps = picture.gaps;
      this.from = picture.from;
      this.to = picture.to;
      this.failed = picture.failed;
      this.loaded = true;
      this.chart.clear();
      this.draw();
    },
    point(at, rupees) {
      if (!this.loaded) return;
      const last = this.points[this.points.length - 1];
      if (last && at <= last[0]) return;
      if (last && last[1] !== null && at - last[0] > HOLE) this.points.push([last[0] + 1, null]);
      this.points.push([at, rupees]);
      if (this.points.length > MOST) this.points.splice(0, this.points.length - MOST);
      this.draw();
    },
    mark(fills) {
      this.fills = fills;
      if (this.loaded) this.draw();
    },
    // the value on the line at a moment, null inside a hole and before the first point
    valueAt(at) {
      let before = null;
      let after = null;
      for (const point of this.points) {
        if (point[0] <= at) before = point;
        else {
          after = point;
          break;
        }
      }
      if (before && before[1] !== null && (!after || at - before[0] <= HOLE)) return before[1];
      return after && after[1] !== null && after[0] - at <= HOLE ? after[1] : null;
    },
    draw() {
      if (!this.loaded) return;
      const style = getComputedStyle(document.body);
      const colour = (name) => style.getPropertyValue(name).trim();
      const [up, down, muted, line, text] = ["--up", "--down", "--muted", "--line", "--text"].map(colour);
      const known = this.points.filter((p) => p[1] !== null);
      const newest = Math.max(this.from, ...this.points.slice(-1).map((p) => p[0]), ...this.fills.slice(-1).map((f) => f[0]));
      const end = Math.max(newest, this.from + SHORTEST);
      const marked = (side) => ({
        type: "scatter",
        data: this.fills.filter((f) => f[1] === side).map((f) => ({ value: [f[0], this.valueAt(f[0]) ?? 0], said: f[2] })),
        symbol: "triangle",
        symbolRotate: side === "BUY" ? 0 : 180,
        symbolSize: 10,
        itemStyle: { color: colour(side === "BUY" ? "--buy" : "--sell"), borderColor: colour("--panel"), borderWidth: 1 },
        z: 5,
      });
      const filled = (name, part, fill) => ({
        name,
        type: "line",
        data: this.points.map(([at, v]) => [at, v === null ? null : part(v)]),
        connectNulls: false,
        showSymbol: false,
        silent: true,
        lineStyle: { width: 0 },
        areaStyle: { color: fill, opacity: 0.2, origin: 0 },
      });
      const last = known[known.length - 1];
      this.words = last ? "P&L of the day, " + money(last[1]) + " at " + clock(last[0]) + ", between " + money(Math.min(...known.map((p) => p[1]))) + " and " + money(Math.max(...known.map((p) => p[1]))) : "no P&L of the day yet";
      this.chart.setOption({
        animation: false,
        textStyle: { fontFamily: "inherit" },
        title: {
          show: !known.length,
          text: this.failed || "No P&L yet today",
          subtext: this.failed ? "" : "the curve begins with the first fill",
          left: "center",
          top: "middle",
          textStyle: { color: muted, fontSize: 13, fontWeight: "normal" },
          subtextStyle: { color: muted, fontSize: 12 },
        },
        grid: { left: 8, right: 74, top: 10, bottom: 22 },
        xAxis: {
          type: "time",
          min: this.from,
          max: end,
          axisLine: { lineStyle: { color: line }, onZero: false },
          axisTick: { show: false },
          splitLine: { show: false },
          axisLabel: { color: muted, fontSize: 11, hideOverlap: true, formatter: (v) => clock(v).slice(0, 5) },
        },
        yAxis: {
          type: "value",
          scale: false,
          position: "right",
          splitNumber: 3,
          axisLabel: { color: muted, fontSize: 11, formatter: (v) => money(v, 0) },
          splitLine: { lineStyle: { color: line, opacity: 0.5 } },
        },
        tooltip: {
          trigger: "axis",
          axisPointer: { type: "line", lineStyle: { color: muted } },
          backgroundColor: colour("--panel"),
          borderColor: line,
          textStyle: { color: text, fontSize: 12 },
          renderMode: "richText",
          formatter: (points) => this.explained(points),
        },
        series: [
          filled("gain", (v) => Math.max(v, 0), up),
          filled("loss", (v) => Math.min(v, 0), down),
          {
            name: LINE,
            type: "line",
            data: this.points,
            connectNulls: false,
            showSymbol: known.length === 1,
            symbolSize: 5,
            lineStyle: { width: 1.5, color: text },
            itemStyle: { color: text },
            markLine: {
              silent: true,
              symbol: "none",
              label: { show: false },
              lineStyle: { color: muted, type: "solid", width: 1 },
              data: [{ yAxis: 0 }],
            },
            markArea: { silent: true, itemStyle: { color: hatch(muted), opacity: 0.5 }, data: [...this.holes(), ...this.bands(end)] },
          },
          marked("BUY"),
          marked("SELL"),
        ],
      });
    },
    // stretches without prices, as the ledger of gaps has them; one that lasts reaches to the end
    bands(end) {
      return this.gaps
        .map(([a, b]) => [Math.max(a, this.from), Math.min(b === null ? end : b, end)])
        .filter(([a, b]) => b > a)
        .map(([a, b]) => [{ xAxis: a }, { xAxis: b }]);
    },
    // stretches in which the P&L was not known
    holes() {
      const found = [];
      let from = null;
      for (const [at, value] of this.points) {
        if (value === null && from === null) from = at;
        else if (value !== null && from !== null) {
          found.push([{ xAxis: from }, { xAxis: at }]);
          from = null;
        }
      }
      if (from !== null) found.push([{ xAxis: from }, { xAxis: this.points[this.points.length - 1][0] }]);
      return found;
    },
    explained(points) {
      const at = points[0].axisValue;
      const lines = [clock(at) + " IST"];
      for (const point of points) {
        if (point.data.said) lines.push(clock(point.data.value[0]) + "  " + point.data.said);
        else if (point.seriesName === LINE) lines.push(point.value[1] === null ? "not known" : money(point.value[1]));
      }
      return lines.join("\n");
    },
  },
};
