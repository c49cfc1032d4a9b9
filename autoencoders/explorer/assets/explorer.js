// The page: keeps the current code and label, decodes them, and connects the controls.

const NEIGHBORS = 6, WALK_SECONDS = 4, PATH_POINTS = 32, FIRST_SLIDERS = 10, LIVE_INTERVAL = 2000;
const find = (selector) => document.querySelector(selector);

// Measures the duration of the latest decodings, in milliseconds.
const durations = {
  values: [],
  add(value) { this.values = [...this.values.slice(-30), value]; },
  get median() { return [...this.values].sort((a, b) => a - b)[Math.floor(this.values.length / 2)]; },
};

const explorer = {
  contents: [],
  code: [],        // the selected code
  preview: null,   // the code under the pointer, while it is on the map and not pressed
  label: null,     // class index, array of attributes, or null
  ends: {},        // codes of the ends `a` and `b` of the path
  image: null,     // the latest decoded image, flat
  dirty: false,
  decoding: null,  // promise of the decoding in progress

  get shown() { return this.preview ?? this.code; },

  async start() {
    await loadRuntime();
    this.contents = JSON.parse(find("#content").textContent);
    this.map = new LatentMap(find("#map"), (point, kind) => this.onPoint(point, kind));
    this.connect();
    this.listRuns();
    if (this.contents.length) await this.open(0);
    if ("live" in document.body.dataset) this.poll("");
  },

  listRuns() {
    const options = this.contents.map(({ label, title }, index) => createElement("option", { value: index }, label ?? title));
    find("#run").replaceChildren(...options);
    find("#run-choice").hidden = options.length < 2;
  },

  // Shows a run. With `kept`, a state `{ code, label, ends }`, the code, the label and the path do not change.
  async open(index, kept = null) {
    const content = this.contents[index], size = content.latentDim;
    if (!kept) find("#progress").textContent = "Loading the decoder …";
    const decoder = await Network.load(content.decoder, [size]);
    const sheet = await Sheet.load(content.sheet, content.columns, content.shape), flat = await inflateNumbers(content.codes);
    await this.decoding;
    Object.assign(this, { content, decoder, sheet, encoder: null, plane: new Plane(content.plane), ends: kept?.ends ?? {} });
    this.codes = Array.from({ length: content.count }, (_, i) => Array.from(flat.subarray(i * size, (i + 1) * size)));
    if (!kept) this.stop();
    this.buildControls(kept?.label);
    find("main").hidden = false;
    const step = content.step.toLocaleString("en"), pixels = content.shape.join(" × ");
    find("#progress").textContent = `Optimizer step ${step}; ${content.count} ${content.split} images of ${pixels} pixels.`;
    const { classes, classNames } = content, colors = classes ? classColors(classNames.length) : [];
    this.map.setPoints(this.codes.map((code) => this.plane.project(code)), classes, colors, content.plane.names);
    this.showLegend(colors, classNames);
    this.select(kept?.code ?? content.latents.center.slice(), Boolean(kept));
    await this.check();
    durations.values = []; // the first decodings are slower, because the browser still compiles the runtime
    await this.requestDecode();
  },

  // Live page --------------------------------------------------------------------------------------------

  // Requests the version of the networks from the server of the page, and replaces them if they have changed.
  async poll(version) {
    const note = find("#live-note");
    try {
      const state = await (await fetch("explorer/state", { cache: "no-store" })).json();
      note.textContent = state.note;
      if (state.version !== version) {
        const contents = await (await fetch("explorer/content", { cache: "no-store" })).json();
        if (contents.length) await this.replace(contents);
        version = state.version;
      }
    } catch {
      note.textContent = "The server does not respond. The page shows the last known networks.";
    }
    note.hidden = !note.textContent;
    setTimeout(() => this.poll(version), LIVE_INTERVAL);
  },

  // Replaces the networks of all runs, and keeps the selected run and its state.
  async replace(contents) {
    const old = this.content, index = Math.max(0, contents.findIndex(({ label }) => label === old?.label));
    const same = (a, b) => a.latentDim === b.latentDim && JSON.stringify(a.context?.names) === JSON.stringify(b.context?.names);
    this.contents = contents;
    this.listRuns();
    find("#run").value = index;
    document.title = find("h1").textContent = [...new Set(contents.map(({ title }) => title))].join("; ");
    const kept = old && same(old, contents[index]) ? { code: this.code, label: this.label, ends: this.ends } : null;
    await this.open(index, kept);
  },

  connect() {
    find("#run").addEventListener("change", (event) => this.open(Number(event.target.value)));
    find("#map").addEventListener("keydown", (event) => this.onKey(event));
    find("#set-a").addEventListener("click", () => this.setEnd("a"));
    find("#set-b").addEventListener("click", () => this.setEnd("b"));
    find("#play").addEventListener("click", () => (this.playing ? this.stop() : this.play()));
    find("#path").addEventListener("change", () => this.walk());
    find("#position").addEventListener("input", () => { this.stop(); this.walk(); });
    find("#temperature").addEventListener("input", (event) => { find("#temperature-value").value = event.target.valueAsNumber.toFixed(2); });
    find("#sample").addEventListener("click", () => this.sample());
    find("#reset").addEventListener("click", () => this.select(this.content.latents.center.slice()));
    find("#more").addEventListener("click", () => this.showSliders(find("#more").ariaExpanded !== "true"));
    find("#picture").addEventListener("change", (event) => this.encodePicture(event.target.files[0]));
    find("#invert").addEventListener("change", () => this.encodePicture(this.file));
    // Without these handlers, the browser would leave the page and show a dropped file.
    document.addEventListener("dragover", (event) => { event.preventDefault(); find("#drop").classList.add("over"); });
    document.addEventListener("dragleave", () => find("#drop").classList.remove("over"));
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      find("#drop").classList.remove("over");
      this.encodePicture(event.dataTransfer.files[0]);
    });
  },

  // `label` is the selected class or the attributes; undefined for the first class or the mean attributes.
  buildControls(label) {
    const { content } = this, { context, latents } = content;
    this.label = null;
    find("#condition").replaceChildren();
    if (context?.kind === "classes") {
      this.label = label ?? 0;
      const buttons = createClassButtons(context.names, this.label, (index) => { this.label = index; this.requestDecode(); });
      find("#condition").append(createElement("h3", {}, "Class"), buttons);
    } else if (context) {
      this.label = label ?? context.mean.slice();
      const sliders = createAttributeSliders(context, this.label, (i, value) => { this.label[i] = value; this.requestDecode(); });
      find("#condition").append(createElement("h3", {}, "Attributes"), ...sliders.map((slider) => slider.element));
    }
    this.sliders = createLatentSliders(latents, (latent, value) => {
      this.select(this.code.map((old, i) => (i === latent ? value : old)));
    });
    find("#latents").replaceChildren(...this.sliders.map((slider) => slider.element));
    this.showSliders(false);
    this.neighbors = Array.from({ length: Math.min(NEIGHBORS, content.count) }, () => this.createNeighbor());
    find("#neighbors").replaceChildren(...this.neighbors.map((neighbor) => neighbor.button));
    this.writeNotes();
  },

  createNeighbor() {
    const canvas = createElement("canvas", { "aria-hidden": "true" }), caption = createElement("small");
    const neighbor = { canvas, caption, button: createElement("button", { type: "button" }, canvas, caption) };
    neighbor.button.addEventListener("click", () => this.select(this.codes[neighbor.index].slice()));
    return neighbor;
  },

  writeNotes() {
    const { content } = this, { density, latents, latentDim } = content;
    find("#density").textContent = `Codes are sampled from ${density.text}. The temperature multiplies their deviation from ${density.components ? "the mean of their Gaussian" : "its mean"}.`;
    const sorted = latents.kind === "KL" ? `mean KL divergence of ${content.split} images` : `variance of ${content.split} codes`;
    find("#latent-note").textContent = `Sorted by ${sorted}. A double click resets a slider.`;
    const moved = latentDim > 2 ? " The map moves the two principal components of the code and keeps the others." : "";
    find("#map-note").textContent = `Each point is the code of a ${content.split} image.${moved}`;
    const needed = content.context ? " The encoder also reads the selected label." : "";
    find("#picture-section").hidden = false;
    find("#drop").hidden = !content.encoder;
    find("#picture-note").textContent = content.encoder
      ? `The encoder computes the code of your picture, which stays on your device.${needed}`
      : "This page does not contain the encoder, because the page would be larger than its limit.";
    find("#picture-figure").hidden = true;
    find("#picture-message").textContent = "";
  },

  showLegend(colors, names) {
    find("#legend").replaceChildren(...(colors.length ? names : []).map((name, index) => {
      const mark = createElement("span", { class: "mark", "aria-hidden": "true" });
      mark.style.background = colors[index];
      return createElement("li", {}, mark, name);
    }));
  },

  // Shows the first sliders or all sliders.
  showSliders(all) {
    this.sliders.forEach((slider, index) => { slider.element.hidden = !all && index >= FIRST_SLIDERS; });
    const more = find("#more");
    more.hidden = this.sliders.length <= FIRST_SLIDERS;
    more.ariaExpanded = String(all);
    more.textContent = all ? `Show the first ${FIRST_SLIDERS} latents` : `Show all ${this.sliders.length} latents`;
  },

  // Events of the map ------------------------------------------------------------------------------------

  onPoint(point, kind) {
    if (kind === "leave") this.preview = null;
    else if (kind === "preview") this.preview = this.plane.move(this.code, point);
    else this.select(this.plane.move(this.code, point));
    this.requestDecode();
  },

  onKey(event) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const step = this.map.limit * (event.shiftKey ? 0.2 : 0.04);
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in moves) {
      const point = this.plane.project(this.code).map((value, k) => value + step * moves[event.key][k]);
      this.select(this.plane.move(this.code, point));
    } else if (event.key === "Enter") this.select(this.codes[findNearest(this.codes, this.code, 1)[0]].slice());
    else if (event.key === "Home") this.select(this.content.latents.center.slice());
    else if (["a", "A"].includes(event.key)) this.setEnd("a");
    else if (["b", "B"].includes(event.key)) this.setEnd("b");
    else return;
    event.preventDefault();
  },

  // Makes a code the current code, and shows it in all controls.
  select(code, walking = false) {
    if (!walking) this.stop();
    this.code = code;
    this.preview = null;
    for (const slider of this.sliders) slider.value = code[slider.latent];
    this.requestDecode();
  },

  // Decoding ---------------------------------------------------------------------------------------------

  // Decodes the shown code. While a decoding is in progress, only the newest request is kept.
  requestDecode() {
    this.dirty = true;
    this.decoding ??= this.decodeNewest().finally(() => { this.decoding = null; });
    return this.decoding;
  },

  async decodeNewest() {
    while (this.dirty) {
      this.dirty = false;
      const code = this.shown, start = performance.now();
      this.image = await this.decoder.run(Float32Array.from(code), this.label);
      drawImage(find("#image"), this.image, this.content.shape);
      durations.add(performance.now() - start);
      this.showNeighbors(code);
      if (this.dirty) await new Promise(requestAnimationFrame); // show the image before the next one is decoded
    }
    this.describe();
  },

  showNeighbors(code) {
    const nearest = findNearest(this.codes, code, this.neighbors.length), { classes, classNames } = this.content;
    nearest.forEach((index, i) => {
      const neighbor = this.neighbors[i], name = classes ? classNames[classes[index]] : "";
      neighbor.index = index;
      this.sheet.draw(neighbor.canvas, index);
      neighbor.caption.textContent = name;
      neighbor.button.setAttribute("aria-label", `${i + 1}: ${classes ? `class ${name}` : `image ${index + 1}`}. Select its code`);
    });
    const { a, b } = this.ends, project = (end) => end && this.plane.project(end);
    this.map.setMarks({ point: this.plane.project(code), neighbors: nearest, path: this.pathPoints(), a: project(a), b: project(b) });
  },

  sample() {
    this.select(sampleCode(this.content.density, find("#temperature").valueAsNumber, this.label));
  },

  // Describes the current point for screen readers, and the duration of a decoding.
  describe() {
    const point = this.plane.project(this.shown).map((value) => value.toFixed(2)).join(", ");
    find("#image-caption").textContent = `Map point (${point}). Decoded in ${durations.median.toFixed(1)} ms.`;
    find("#image").setAttribute("aria-label", `Decoded image at the map point ${point}`);
    clearTimeout(this.announcement);
    const nearest = this.neighbors[0].button.getAttribute("aria-label").replace(/^1: |\. Select.*$/g, "");
    this.announcement = setTimeout(() => { find("#status").textContent = `Map point ${point}. Nearest: ${nearest}.`; }, 500);
  },

  // Path from A to B -------------------------------------------------------------------------------------

  setEnd(name) {
    this.ends[name] = this.code.slice();
    this.requestDecode();
  },

  pathCode(t) {
    const { a, b } = this.ends;
    if (find("#path").value === "linear") return interpolateLinear(a, b, t);
    return interpolateSpherical(a, b, t, this.content.density.mean);
  },

  pathPoints() {
    if (!this.ends.a || !this.ends.b) return [];
    return Array.from({ length: PATH_POINTS + 1 }, (_, i) => this.plane.project(this.pathCode(i / PATH_POINTS)));
  },

  // Shows the code at the position of the slider. Missing ends are the two images that are farthest apart on the map.
  walk() {
    if (!this.ends.a || !this.ends.b) this.chooseEnds();
    const t = find("#position").valueAsNumber;
    find("#position-value").value = t.toFixed(2);
    this.select(this.pathCode(t), true);
  },

  chooseEnds() {
    const farthest = (code) => this.codes.reduce((best, other) => (distance(other, code) > distance(best, code) ? other : best));
    this.ends.a ??= this.ends.b ? farthest(this.ends.b) : farthest(this.content.density.mean);
    this.ends.b ??= farthest(this.ends.a);
  },

  play() {
    const started = performance.now(), first = find("#position").valueAsNumber;
    this.playing = true;
    find("#play").textContent = "Stop";
    find("#play").ariaPressed = "true";
    const step = async (now) => {
      if (!this.playing) return;
      const phase = (first + Math.max(0, now - started) / 1000 / WALK_SECONDS) % 2;
      find("#position").value = phase <= 1 ? phase : 2 - phase; // forward and back
      this.walk();
      await this.decoding;
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  },

  stop() {
    this.playing = false;
    find("#play").textContent = "Play";
    find("#play").ariaPressed = "false";
  },

  // Own pictures -----------------------------------------------------------------------------------------

  async encodePicture(file) {
    if (!file || !this.content.encoder) return;
    this.file = file;
    const message = find("#picture-message");
    let values;
    try {
      values = await readPicture(file, this.content, find("#invert").checked);
    } catch {
      message.textContent = `${file.name} cannot be read as a picture. Choose a PNG, JPEG or WebP file.`;
      return;
    }
    message.textContent = "Encoding …";
    this.encoder ??= await Network.load(this.content.encoder, this.content.shape);
    drawImage(find("#picture-canvas"), values, this.content.shape);
    find("#picture-figure").hidden = false;
    this.select(Array.from(await this.encoder.run(values, this.label)));
    await this.decoding;
    const error = this.image.reduce((sum, value, i) => sum + (value - values[i]) ** 2, 0) / values.length;
    message.textContent = `${file.name}: mean squared error of the reconstruction ${formatNumber(error)}.`;
  },

  // Compares the decoder of this page with the pixel values that PyTorch computed.
  async check() {
    const { count, stride, values } = this.content.check, expected = await inflateNumbers(values);
    const { context } = this.content, size = expected.length / count;
    let largest = 0;
    for (let i = 0; i < count; i++) {
      const label = context ? this.content.check.labels[i] : null;
      const image = await this.decoder.run(Float32Array.from(this.codes[i]), label);
      for (let k = 0; k < size; k++) largest = Math.max(largest, Math.abs(image[k * stride] - expected[i * size + k]));
    }
    this.difference = largest;
    find("#check").textContent = `Largest difference of this page's decoder from PyTorch on ${count} codes: ${formatNumber(largest, 2)} (white is 1).`;
  },
};

explorer.start().catch((error) => {
  find("#progress").textContent = `The decoder cannot run in this browser: ${error.message}. Use a browser with WebAssembly SIMD (Chrome 91, Firefox 89, Safari 16.4, or newer).`;
  find("#progress").classList.add("bad");
});
