// Writes patches into the page, and ages every price by the browser's own clock.
const GLYPHS = { live: "●", quiet: "◔", polled: "◔", late: "◐", stale: "✖", closed: "■", unknown: "—" };
const SOURCES = { S: "simulated exchange", W: "broker's websocket", R: "polled", P: "replay" };
const FLASHES = 40; // when more than these move at once, flashing tells nothing
const PRESSES = ["click", "keydown"];
const ORPHAN_LIFE = 5000; // ms that a change waits for an element that is not drawn yet

function age(ms) {
  const s = Math.max(0, ms / 1000);
  if (s < 9.95) return s.toFixed(1) + "s";
  const whole = Math.round(s);
  if (whole < 60) return whole + "s";
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return minutes + "m " + String(whole % 60).padStart(2, "0") + "s";
  return Math.floor(minutes / 60) + "h " + String(minutes % 60).padStart(2, "0") + "m";
}

function clock(epochMs) {
  return new Date(epochMs + 19800000).toISOString().slice(11, 19); // IST is UTC+5:30, always
}

function span(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  const days = Math.floor(s / 86400);
  const pad = (n) => String(n).padStart(2, "0");
  const time = Math.floor((s % 86400) / 3600) + ":" + pad(Math.floor((s % 3600) / 60)) + ":" + pad(s % 60);
  return days ? days + "d " + time : time;
}

function write(element, text) {
  const node = element.firstChild; // keep Vue's own text node, so that a re-rendering finds it
  if (node && node.nodeType === Node.TEXT_NODE) {
    if (node.nodeValue !== text) node.nodeValue = text;
  } else element.textContent = text;
}

export default {
  template: '<div style="display:none"></div>',
  props: { liveWithin: Number, staleAfter: Number, contact: Number, words: Object, noContact: String },
  mounted() {
    this.calm = window.matchMedia("(prefers-reduced-motion: reduce)");
    this.quotes = new Map();
    this.ages = new Map();
    this.orphans = new Map();
    this.open = {};
    this.marked = document.getElementsByClassName("vq"); // live collection
    this.reset();
    this.born = performance.now();
    this.onPatch = (text) => this.patch(JSON.parse(text));
    this.onConnect = () => this.ready();
    this.onVisible = () => document.hidden || this.draw();
    this.onPoint = (event) => this.explain(event.target);
    document.addEventListener("visibilitychange", this.onVisible);
    document.addEventListener("pointerover", this.onPoint);
    this.onPress = (event) => this.hold(event);
    for (const kind of PRESSES) document.addEventListener(kind, this.onPress, true);
    this.timer = setInterval(() => this.draw(), 250);
    Promise.resolve().then(() => this.attach()); // the socket is made right after we are mounted
  },
  unmounted() {
    clearInterval(this.timer);
    document.removeEventListener("visibilitychange", this.onVisible);
    document.removeEventListener("pointerover", this.onPoint);
    for (const kind of PRESSES) document.removeEventListener(kind, this.onPress, true);
    window.socket?.off("vigil", this.onPatch);
    window.socket?.off("connect", this.onConnect);
  },
  methods: {
    attach() {
      if (!window.socket) return setTimeout(() => this.attach(), 5);
      window.socket.on("vigil", this.onPatch);
      window.socket.on("connect", this.onConnect);
      if (window.socket.connected) this.ready();
    },
    ready() {
      this.next = null; // whatever comes first now is a whole picture
      this.$emit("ready");
    },
    reset() {
      this.low = this.lowBefore = Infinity;
      this.lowSince = performance.now();
      this.newest = null;
    },
    // The clock of the server, estimated from the patch that was on the way for the shortest time in the last
    // one to two minutes; a patch that was held up shows its prices as old as they are.
    observe(m) {
      const now = performance.now();
      if (this.newest !== null && m < this.newest - 1000) this.reset(); // another process answers
      if (now - this.lowSince > 60000) {
        this.lowBefore = this.low;
        this.low = Infinity;
        this.lowSince = now;
      }
      this.low = Math.min(this.low, now - m);
      this.newest = m;
    },
    serverNow() {
      return performance.now() - Math.min(this.low, this.lowBefore);
    },
    patch(patch) {
      if (this.next !== null && patch.n !== this.next) return this.ready(); // one was lost
      this.next = patch.n + 1;
      this.observe(patch.m);
      this.heard = patch.h;
      this.tick(patch.w, patch.m);
      for (const q of patch.q || []) this.quotes.set(q[0], { at: q[1], source: q[2], segment: q[3], ltt: q[4], own: q[5] });
      for (const a of patch.a || []) this.ages.set(a[0], a[1]);
      const moved = (patch.c || []).map((c) => this.put(c)).filter(Boolean);
      if (moved.length) this.flash(moved);
      for (const b of patch.b || []) getElement(b[0])?.bar?.(b.slice(1));
      const header = patch.s || {};
      if (header.open) this.open = header.open;
      if (header.light) this.light = header.light;
      if (header.session) this.session = header.session;
      if (header.title) this.title = header.title;
      if (header.urgent !== undefined) this.urgent = header.urgent;
      if (patch.n % 4 === 0 || patch.n === 1) this.$emit("ack", patch.n);
      if (!document.hidden) this.draw();
    },
    put(c) {
      const element = document.getElementById("c" + c[0]);
      if (!element) {
        this.orphans.set(c[0], [c, performance.now()]);
        return null;
      }
      this.orphans.delete(c[0]);
      const changed = element.textContent !== c[1];
      write(element, c[1]);
      const tone = c[2] || 0;
      if (element.dataset.tone !== String(tone)) element.dataset.tone = tone;
      if (c[3]) element.title = c[3];
      else if (element.hasAttribute("title")) element.removeAttribute("title");
      return changed && tone && element.classList.contains("flash") ? [element, tone] : null;
    },
    // the colours are read once, after all writing: each reading makes the browser compute its styles
    flash(moved) {
      if (document.hidden || this.calm.matches || moved.length > FLASHES) return;
      const style = getComputedStyle(document.body);
      const colours = { 1: style.getPropertyValue("--flash-up"), 2: style.getPropertyValue("--flash-down") };
      for (const [element, tone] of moved)
        element.animate([{ backgroundColor: colours[tone] }, { backgroundColor: "transparent" }], 300);
    },
    tick(wall, m) {
      if (this.wall === undefined || m - this.wallAt >= 2000) {
        if (this.wall !== undefined) {
          const rate = (wall - this.wall) / (m - this.wallAt);
          this.rate = Math.abs(rate - Math.round(rate)) < 0.05 * Math.max(1, rate) ? Math.max(1, Math.round(rate)) : rate;
        }
        this.wall = wall;
        this.wallAt = m;
      }
      this.lastWall = wall;
      this.lastWallAt = m;
    },
    judge(quote, now) {
      if (quote && typeof quote.own === "string") return "stale";
      if (!quote || quote.at === null) return "unknown";
      if (!this.open[quote.segment]) return "closed";
      const heard = this.heard === null ? Infinity : now - this.heard;
      if (quote.own) {
        // what money is reckoned with is judged by its own age, and a polled price needs no feed
        if (now - quote.at > this.staleAfter) return "stale";
        if (quote.source.includes("R")) return "polled";
      }
      if (heard > this.staleAfter) return "stale";
      if (heard > this.liveWithin) return "late";
      return now - quote.at <= this.liveWithin ? "live" : "quiet";
    },
    draw() {
      if (document.hidden) return;
      const now = this.newest === null ? null : this.serverNow();
      for (const [id, [c, since]] of this.orphans) {
        if (document.getElementById("c" + id)) this.put(c);
        else if (performance.now() - since > ORPHAN_LIFE) this.orphans.delete(id);
      }
      if (now !== null) {
        const states = new Map();
        for (const element of this.marked) {
          const number = Number(element.dataset.q);
          let state = states.get(number);
          if (!state) states.set(number, (state = this.judge(this.quotes.get(number), now)));
          if (element.dataset.trust !== state) element.dataset.trust = state;
          if (element.classList.contains("badge")) write(element, this.badge(element, state, this.quotes.get(number), now));
        }
        for (const [id, at] of this.ages) {
          const element = document.getElementById("c" + id);
          if (!element) continue;
          write(element, at === null ? "never" : age(now - at));
        }
      }
      this.drawHeader(now);
    },
    badge(element, state, quote, now) {
      if (quote && typeof quote.own === "string") return GLYPHS.stale + " " + quote.own;
      if (!quote || state === "unknown") return quote?.own && quote.at === null ? "" : GLYPHS.unknown;
      if (state === "closed") return GLYPHS.closed + " " + (quote.ltt > 0 ? clock(quote.ltt) : quote.source);
      const head = GLYPHS[state] + " " + quote.source;
      if (state === "live" && !element.classList.contains("full")) return head;
      if (quote.own || state === "quiet" || state === "live") return head + " " + age(now - quote.at);
      return head + " " + age(Math.max(now - quote.at, now - this.heard));
    },
    drawHeader(now) {
      const away = now === null ? performance.now() - this.born : now - this.newest;
      let [level, text] = this.light || ["starting", "CONNECTING"];
      if (["live", "late", "care", "stale"].includes(level) && now !== null) {
        const heard = this.heard === null ? Infinity : now - this.heard;
        const aged = heard > this.staleAfter ? "stale" : heard > this.liveWithin ? "late" : "live";
        if (level !== "care" || aged === "stale") {
          level = aged;
          text = this.words[level] + (level === "live" ? "" : " " + age(heard));
        }
      }
      if (away > this.contact) [level, text] = ["gone", this.noContact];
      for (const element of document.getElementsByClassName("v-light")) {
        if (element.dataset.level !== level) element.dataset.level = level;
        write(element, text);
        if (element.title !== text) element.title = text;
      }
      const title = level === "gone" ? "✖ " + this.noContact : this.title && (this.urgent ? "(!) " : "") + this.title;
      if (title && document.title !== title) document.title = title;
      if (document.body.dataset.contact !== (level === "gone" ? "no" : "yes"))
        document.body.dataset.contact = level === "gone" ? "no" : "yes";
      if (now === null || this.lastWall === undefined) return;
      const rate = this.rate || 1;
      const wall = this.lastWall + (now - this.lastWallAt) * rate;
      const [session, verb, until] = this.session || ["", "", null];
      const speed = rate > 1.5 ? " ×" + Math.round(rate) : "";
      for (const e of document.getElementsByClassName("v-clock")) write(e, clock(wall) + " IST" + speed);
      for (const e of document.getElementsByClassName("v-session")) write(e, session);
      for (const e of document.getElementsByClassName("v-count")) write(e, until ? verb + " " + span(until - wall) : "");
    },
    // Without contact a press would wait and arrive with the app, at prices that nobody has seen: it goes nowhere.
    hold(event) {
      if (document.body.dataset.contact !== "no") return;
      if (event.type === "keydown" && event.key !== "Enter" && (event.key !== " " || event.target.tagName === "INPUT")) return;
      if (!event.target.closest?.("button, input, [role=checkbox], [role=switch], [role=row]")) return;
      event.stopImmediatePropagation();
      event.preventDefault();
    },
    sources(letters) {
      return [...letters].map((letter) => SOURCES[letter]).filter(Boolean).join(" and ") || "feed";
    },
    explain(target) {
      const element = target.closest?.(".badge");
      if (!element || this.newest === null) return;
      const quote = this.quotes.get(Number(element.dataset.q));
      const now = this.serverNow();
      if (quote && typeof quote.own === "string") element.title = quote.own;
      else if (!quote || quote.at === null) element.title = quote?.own ? "" : "no price of this instrument has arrived yet";
      else
        element.title =
          element.dataset.trust + ": price " + age(now - quote.at) + " old, from the " + this.sources(quote.source) +
          (quote.ltt > 0 ? ", traded " + clock(quote.ltt) + " IST" : "") +
          (this.heard === null ? "" : "; newest price of any instrument " + age(now - this.heard) + " ago");
    },
  },
};
