// The keys of the desk: numbers open pages, / searches, arrows choose a row, B and S trade it, C cancels it.
function typing(target) {
  return target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName);
}

export default {
  template: '<div style="display:none"></div>',
  mounted() {
    this.onKey = (event) => this.press(event);
    document.addEventListener("keydown", this.onKey);
    document.addEventListener("click", this.onClick);
  },
  unmounted() {
    document.removeEventListener("keydown", this.onKey);
    document.removeEventListener("click", this.onClick);
  },
  methods: {
    press(event) {
      if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
      if (document.querySelector(".q-dialog")) return; // a sheet is open: keys are its own
      const link = /^[1-9]$/.test(event.key) && document.querySelectorAll(".v-rail a")[Number(event.key) - 1];
      const search = event.key === "/" && document.querySelector(".v-search input");
      const shut = document.querySelector(".v-open > .v-drawer-head .v-shut"); // the drawer, or the list of the light
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (link) link.click();
      else if (search) search.focus();
      else if (event.key === "?") this.$emit("help");
      else if (event.key.toLowerCase() === "m") this.mute(event);
      else if (event.key === "Escape" && shut) shut.click();
      else if (!this.act(event) && (!step || !this.choose(step))) return;
      event.preventDefault();
    },
    // what the row in focus, or the chosen one, is about
    act(event) {
      const key = event.key.toLowerCase();
      const row = event.target.closest?.(".v-row[data-key]") || document.querySelector('.v-row[aria-selected="true"]');
      const side = { b: "BUY", s: "SELL" }[key];
      if (side) {
        if (row?.dataset.key) this.$emit("trade", { key: row.dataset.key, side });
        return Boolean(row?.dataset.key);
      }
      const idle = !event.target.closest?.("a, button, .v-row"); // those have an Enter of their own
      let button = null;
      if (key === "c") button = row?.querySelector(".v-cancel");
      else if (key === "x") button = row?.querySelector(".v-exit");
      else if (key === "enter" && idle) button = document.querySelector(".v-review-button");
      if (!button || button.disabled || !button.offsetParent) return false;
      button.click();
      return true;
    },
    // the alert in focus is muted; without one the alerts are opened, and nothing is muted unseen
    mute(event) {
      const button = event.target.closest?.(".v-alert-row")?.querySelector(".v-mute");
      if (button) button.click();
      else this.$emit("alerts");
    },
    focusAlert(tries = 20) {
      const row = document.querySelector(".v-drawer.v-open .v-alert-row");
      if (row) row.focus();
      else if (tries) setTimeout(() => this.focusAlert(tries - 1), 50);
    },
    choose(step) {
      const rows = [...document.querySelectorAll(".v-row[tabindex]")];
      if (!rows.length) return false;
      const now = rows.findIndex((row) => row.getAttribute("aria-selected") === "true");
      const row = rows[Math.min(rows.length - 1, Math.max(0, now + step))];
      if (row.getAttribute("aria-selected") !== "true") row.click();
      row.focus({ preventScroll: true });
      row.scrollIntoView({ block: "nearest" });
      return true;
    },
    // on a phone the chart lies under the list
    onClick(event) {
      if (event.target.closest?.(".v-row[tabindex]") && event.isTrusted && window.innerWidth <= 640)
        document.querySelector(".v-detail")?.scrollIntoView({ block: "start" });
    },
    remember(theme) {
      document.cookie = "vigil_theme=" + (theme === "light" ? "light" : "dark") + "; path=/; max-age=31536000; samesite=strict";
    },
  },
};
