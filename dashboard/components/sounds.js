// Four short sounds out of oscillators, and their switch. A browser plays nothing before somebody has pressed something.
const STORE = "vigil_sound";
const ALONE = 3000; // ms
// [frequency in Hz, begin, length in seconds], and the wave
const SOUNDS = {
  fill: { wave: "sine", notes: [[660, 0, 0.09], [990, 0.09, 0.16]] },
  rejection: { wave: "triangle", notes: [[330, 0, 0.12], [220, 0.13, 0.22]] },
  risk: { wave: "square", notes: [[880, 0, 0.12], [660, 0.15, 0.12], [880, 0.3, 0.12], [660, 0.45, 0.18]] },
  feed: { wave: "triangle", notes: [[520, 0, 0.14], [390, 0.16, 0.14], [260, 0.32, 0.3]] },
};
const NAMES = [["fill", "Fill"], ["rejection", "Rejection"], ["risk", "Risk"], ["feed", "Feed lost"]];

function stored() {
  try {
    return JSON.parse(localStorage.getItem(STORE)) || {};
  } catch {
    return {};
  }
}

export default {
  template: `<div class="v-sounds">
    <div class="v-sounds-line">
      <button type="button" class="v-plain v-sound-switch" role="switch" :aria-checked="String(on)" @click="toggle">{{ on ? "Sound is on" : "Sound is off" }}</button>
      <input v-if="on" type="range" min="5" max="100" v-model.number="volume" @change="keep" aria-label="volume" />
    </div>
    <div class="v-sounds-line"><span class="v-faint">Test sound</span>
      <button v-for="n in names" :key="n[0]" type="button" class="v-plain" @click="test(n[0])">{{ n[1] }}</button>
    </div>
    <div class="v-faint">{{ said }}</div>
  </div>`,
  data() {
    const kept = stored();
    return { on: kept.on === true, volume: kept.volume > 0 ? kept.volume : 60, names: NAMES, locked: true };
  },
  computed: {
    said() {
      if (!this.on) return "Off until you press it or test a sound; kept in this browser.";
      if (this.locked) return "On, but this tab may not play before you have pressed something in it.";
      return "In quiet hours only critical alerts are heard.";
    },
  },
  mounted() {
    this.unlock = () => this.on && this.audio(); // the browser allows it within a press only
    for (const kind of ["pointerdown", "keydown"]) document.addEventListener(kind, this.unlock);
    this.rings = []; // for tests, and for whoever asks what was played
  },
  unmounted() {
    for (const kind of ["pointerdown", "keydown"]) document.removeEventListener(kind, this.unlock);
    this.context?.close();
  },
  methods: {
    audio() {
      this.context ||= new AudioContext();
      const running = () => (this.locked = this.context.state !== "running");
      if (this.context.state === "suspended") this.context.resume().then(running, () => {});
      running();
      return this.context;
    },
    keep() {
      localStorage.setItem(STORE, JSON.stringify({ on: this.on, volume: this.volume }));
    },
    toggle() {
      this.on = !this.on;
      if (this.on) this.audio();
      this.keep();
    },
    test(sound) {
      this.on = true;
      this.keep();
      this.play(sound);
    },
    ring(sound, once) {
      if (!this.on || !SOUNDS[sound] || this.context?.state !== "running") return;
      if (!navigator.locks) return this.play(sound); // not a secure page: each tab rings for itself
      // the first tab of this browser has the lock for as long as another may hear of the same alert
      navigator.locks.request("vigil " + once, { ifAvailable: true }, (lock) => {
        if (!lock) return;
        this.play(sound);
        return new Promise((done) => setTimeout(done, ALONE));
      });
    },
    play(sound) {
      const audio = this.audio();
      const { wave, notes } = SOUNDS[sound];
      this.rings.push(sound);
      for (const [frequency, begin, length] of notes) {
        const tone = audio.createOscillator();
        const gain = audio.createGain();
        const at = audio.currentTime + 0.02 + begin;
        const loud = (this.volume / 100) * (wave === "sine" ? 0.5 : wave === "square" ? 0.16 : 0.35);
        tone.type = wave;
        tone.frequency.value = frequency;
        gain.gain.setValueAtTime(0, at);
        gain.gain.linearRampToValueAtTime(loud, at + 0.01);
        gain.gain.setTargetAtTime(0, at + length - 0.04, 0.015);
        tone.connect(gain).connect(audio.destination);
        tone.start(at);
        tone.stop(at + length + 0.05);
      }
    },
  },
};
