// Sixty minutes of one component as bars; what a bar means is told by the pointer resting on it.
const SAID = {
  good: "up the whole minute",
  part: "up only for a part of it, or with errors",
  down: "down",
  closed: "not judged: its market was closed, or the desk was not running",
  unknown: "nothing is known: the desk was not running, or did not look",
};

function counted(number, word) {
  return number.toLocaleString("en-IN") + " " + word + (number === 1 ? "" : "s");
}

export default {
  template: '<div class="h-strip" role="img" :aria-label="words"></div>',
  props: { bars: Array, words: String },
  mounted() {
    this.draw();
  },
  watch: {
    bars() {
      this.draw();
    },
  },
  methods: {
    draw() {
      const drawn = (this.bars || []).map(([at, kind, messages, errors]) => {
        const bar = document.createElement("i");
        bar.className = "h-bar h-" + kind;
        const told = kind === "unknown" ? "" : " · " + counted(messages, "message") + ", " + counted(errors, "error");
        bar.title = at + " IST · " + SAID[kind] + told;
        return bar;
      });
      this.$el.replaceChildren(...drawn);
    },
  },
};
