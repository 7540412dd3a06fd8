// Minute candles of one instrument: the past loaded once, the last one moved by live.js.
import { echarts } from "nicegui-echart";

const MINUTE = 60000;
const MARGIN = 5; // minutes kept free on the right

function label(start) {
  return new Date(start + 19800000).toISOString().slice(11, 16);
}

function hatch(colour) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 8;
  const pen = canvas.getContext("2d");
  pen.strokeStyle = colour;
  pen.lineWidth = 1;
  pen.beginPath();
  pen.moveTo(0, 8);
  pen.lineTo(8, 0);
  pen.moveTo(-2, 2);
  pen.lineTo(2, -2);
  pen.moveTo(6, 10);
  pen.lineTo(10, 6);
  pen.stroke();
  return { image: canvas, repeat: "repeat" };
}

function grouped(value, decimals) {
  return value.toLocaleString("en-IN", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

export default {
  template: '<div class="v-candles" role="img"></div>',
  mounted() {
    this.minutes = new Map();
    this.gaps = [];
    this.chart = echarts.init(this.$el, null, { renderer: "canvas" });
    this.resizer = new ResizeObserver(() => this.chart.resize());
    this.resizer.observe(this.$el);
    this.watcher = new MutationObserver(() => this.draw());
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
      this.minutes = new Map(picture.candles.map((c) => [c[0], c]));
      this.gaps = picture.gaps;
      this.from = picture.from;
      this.to = picture.to;
      this.loaded = true;
      this.chart.clear();
      this.draw();
    },
    bar(bar) {
      if (!this.loaded) return;
      const before = this.minutes.get(bar[0]);
      if (before && String(before) === String(bar)) return;
      this.minutes.set(bar[0], bar);
      this.draw();
    },
    draw() {
      if (!this.loaded) return;
      const style = getComputedStyle(document.body);
      const colour = (name) => style.getPropertyValue(name).trim();
      const [up, down, muted, line, text] = ["--up", "--down", "--muted", "--line", "--text"].map(colour);
      const newest = Math.max(this.from, ...this.minutes.keys());
      const end = Math.max(Math.min(this.to, newest + MARGIN * MINUTE), this.from + 30 * MINUTE);
      const starts = [];
      for (let at = this.from; at <= end; at += MINUTE) starts.push(at);
      const candles = starts.map((at) => this.candle(this.minutes.get(at), up, down, muted));
      const volumes = starts.map((at) => this.volume(this.minutes.get(at), up, down));
      const withVolume = volumes.some((v) => v.value > 0);
      const bands = this.gaps
        .map(([a, b]) => [Math.floor(a / MINUTE) * MINUTE, Math.floor(b / MINUTE) * MINUTE])
        .filter(([a, b]) => b >= this.from && a <= end)
        .map(([a, b]) => [
          { xAxis: String(Math.max(a, this.from)) },
          { xAxis: String(Math.min(b, starts[starts.length - 1])) },
        ]);
      const axis = {
        type: "category",
        data: starts.map(String),
        axisLine: { lineStyle: { color: line } },
        axisTick: { show: false },
        splitLine: { show: false },
      };
      const labels = { color: muted, fontSize: 11, formatter: (v) => label(Number(v)), hideOverlap: true };
      this.chart.setOption({
        animation: false,
        textStyle: { fontFamily: "inherit" },
        title: {
          show: !this.minutes.size,
          text: "No candles of this session yet",
          subtext: "the first one appears with the first trade",
          left: "center",
          top: "middle",
          textStyle: { color: muted, fontSize: 13, fontWeight: "normal" },
          subtextStyle: { color: muted, fontSize: 12 },
        },
        grid: [
          { left: 8, right: 66, top: 8, bottom: withVolume ? 74 : 24 },
          { left: 8, right: 66, height: 40, bottom: 24, show: false },
        ],
        xAxis: [
          { ...axis, axisLabel: { ...labels, show: !withVolume } },
          { ...axis, gridIndex: 1, axisLabel: { ...labels, show: withVolume }, show: withVolume },
        ],
        yAxis: [
          {
            scale: true,
            position: "right",
            axisLabel: { color: muted, fontSize: 11, formatter: (v) => grouped(v, 2) },
            splitLine: { lineStyle: { color: line, opacity: 0.5 } },
          },
          { gridIndex: 1, position: "right", splitNumber: 1, axisLabel: { show: false }, splitLine: { show: false } },
        ],
        dataZoom: [{ type: "inside", xAxisIndex: [0, 1], minValueSpan: 15 }],
        tooltip: {
          trigger: "axis",
          axisPointer: { type: "cross", label: { color: text, backgroundColor: line } },
          backgroundColor: colour("--panel"),
          borderColor: line,
          textStyle: { color: text, fontSize: 12 },
          renderMode: "richText",
          formatter: (points) => this.words(Number(points[0].axisValue)),
        },
        series: [
          {
            type: "candlestick",
            data: candles,
            itemStyle: { color: up, color0: down, borderColor: up, borderColor0: down },
            markArea: { silent: true, data: bands, itemStyle: { color: hatch(muted) } },
            markLine: {
              silent: true,
              symbol: "none",
              data: this.minutes.size ? [{ yAxis: this.minutes.get(newest)?.[4] }] : [],
              lineStyle: { color: muted, type: "dashed", width: 1 },
              label: { formatter: (p) => grouped(p.value, 2), color: colour("--back"), backgroundColor: text, padding: [0, 4], lineHeight: 16, fontSize: 11 },
            },
          },
          { type: "bar", xAxisIndex: 1, yAxisIndex: 1, data: volumes, barCategoryGap: "20%" },
        ],
      });
    },
    // a minute that nobody watched from its beginning is drawn hollow and faint
    candle(c, up, down, muted) {
      if (!c) return "-";
      const value = [c[1], c[4], c[3], c[2]];
      return c[6] ? value : { value, itemStyle: { color: "transparent", color0: "transparent", borderColor: muted, borderColor0: muted, borderType: "dashed" } };
    },
    volume(c, up, down) {
      if (!c) return { value: 0 };
      return { value: c[5], itemStyle: { color: c[4] >= c[1] ? up : down, opacity: 0.45 } };
    },
    words(start) {
      const c = this.minutes.get(start);
      if (!c) return label(start) + "  nothing recorded";
      const [open, high, low, close] = c.slice(1, 5).map((v) => grouped(v, 2));
      const volume = c[5] > 0 ? "\nvolume " + grouped(c[5], 0) : "";
      return label(start) + " IST" + (c[6] ? "" : "  (only partly watched)") + "\nopen " + open + "\nhigh " + high + "\nlow " + low + "\nclose " + close + volume;
    },
  },
};
