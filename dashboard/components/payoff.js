// Profit or loss at expiry over the price of the underlying, as one line with its zero, its corners and the price of now.
const LEFT = 64;
const RIGHT = 10;
const TOP = 18;
const FOOT = 34;

function grouped(value, decimals) {
  return value.toLocaleString("en-IN", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

function money(value) {
  const sign = value > 0 ? "+" : value < 0 ? "-" : "";
  return sign + "₹" + grouped(Math.abs(Math.round(value)), 0);
}

export default {
  template: `
    <div class="v-payoff-box" role="img" :aria-label="words">
      <svg v-if="picture && width" :width="width" :height="height">
        <path :d="area" class="gain" :clip-path="'url(#' + id + 'u)'" />
        <path :d="area" class="loss" :clip-path="'url(#' + id + 'd)'" />
        <clipPath :id="id + 'u'"><rect x="0" y="0" :width="width" :height="zero" /></clipPath>
        <clipPath :id="id + 'd'"><rect x="0" :y="zero" :width="width" :height="Math.max(0, height - zero)" /></clipPath>
        <line :x1="left" :x2="width - right" :y1="zero" :y2="zero" class="zero" />
        <g v-for="mark in marks" :key="mark.key">
          <line :x1="mark.x" :x2="mark.x" :y1="top" :y2="height - foot" :class="mark.kind" />
          <text :x="mark.x" :y="mark.y" text-anchor="middle" :class="mark.kind">{{ mark.text }}</text>
        </g>
        <polyline :points="line" class="line" />
        <text v-for="tick in ticks" :key="tick.y" :x="left - 6" :y="tick.y + 4" text-anchor="end">{{ tick.text }}</text>
      </svg>
    </div>`,
  data() {
    return { picture: null, width: 0, height: 0, left: LEFT, right: RIGHT, top: TOP, foot: FOOT, id: "p" + Math.random().toString(36).slice(2) };
  },
  mounted() {
    this.resizer = new ResizeObserver(() => {
      this.width = this.$el.clientWidth;
      this.height = this.$el.clientHeight;
    });
    this.resizer.observe(this.$el);
    this.$emit("ready");
  },
  unmounted() {
    this.resizer.disconnect();
  },
  computed: {
    bounds() {
      const xs = this.picture.points.map((p) => p[0]);
      const ys = this.picture.points.map((p) => p[1]);
      const most = Math.max(0, ...ys);
      const least = Math.min(0, ...ys);
      const room = (most - least) * 0.08 || 1;
      return { x0: xs[0], x1: xs[xs.length - 1], y0: least - room, y1: most + room };
    },
    places() {
      return this.picture.points.map(([x, y]) => [this.across(x), this.down(y)]);
    },
    zero() {
      return this.down(0);
    },
    line() {
      return this.places.map((p) => p.join(",")).join(" ");
    },
    area() {
      const first = this.places[0];
      const last = this.places[this.places.length - 1];
      return "M" + first[0] + "," + this.zero + "L" + this.places.map((p) => p.join(",")).join("L") + "L" + last[0] + "," + this.zero + "Z";
    },
    ticks() {
      const ys = this.picture.points.map((p) => p[1]);
      const shown = [...new Set([Math.max(...ys), 0, Math.min(...ys)])].map((v) => ({ y: this.down(v), text: money(v) }));
      return shown.filter((tick, i) => shown.every((other, j) => j >= i || Math.abs(other.y - tick.y) > 13));
    },
    marks() {
      const base = this.height - FOOT;
      const free = []; // what is written on the line below must not lie over its neighbour
      const put = (kind, x, y, text) => {
        const at = this.across(x);
        const fits = free.every(([other, row]) => row !== y || Math.abs(other - at) > text.length * 6.5);
        if (fits) free.push([at, y]);
        return { key: kind + x, kind, x: at, y, text: fits ? text : "" };
      };
      const shown = [];
      if (this.picture.spot !== null) shown.push(put("spot", this.picture.spot, 12, "now " + grouped(this.picture.spot, 2)));
      for (const x of this.picture.evens) shown.push(put("even", x, base + 13, grouped(x, 2)));
      for (const x of this.picture.strikes) shown.push(put("strike", x, base + 28, grouped(x, 0)));
      return shown.filter((m) => m.x >= LEFT - 1 && m.x <= this.width - RIGHT + 1);
    },
    words() {
      if (!this.picture) return "no pay-off to draw";
      const ys = this.picture.points.map((p) => p[1]);
      return "pay-off at expiry: between " + money(Math.min(...ys)) + " and " + money(Math.max(...ys)) + " over the prices shown";
    },
  },
  methods: {
    load(picture) {
      this.picture = picture;
    },
    across(x) {
      const { x0, x1 } = this.bounds;
      return LEFT + ((x - x0) / (x1 - x0 || 1)) * (this.width - LEFT - RIGHT);
    },
    down(y) {
      const { y0, y1 } = this.bounds;
      return TOP + ((y1 - y) / (y1 - y0)) * (this.height - TOP - FOOT);
    },
  },
};
