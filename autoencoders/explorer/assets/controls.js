// Builds the controls of a run: sliders, class buttons and neighbors.

// Creates an element with attributes and children. Texts are never parsed as HTML.
function createElement(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function formatNumber(x, digits = 3) {
  if (x === 0) return "0";
  return Math.abs(x) >= 1e5 || Math.abs(x) < 1e-3 ? x.toExponential(1) : String(Number(x.toPrecision(digits)));
}

// A labelled slider. A double click, or the key Delete or Backspace, resets it.
class Slider {
  // `options`: id, label, detail, low, high, initial; `onInput(value)` is called when the reader moves the slider.
  constructor({ id, label, detail = "", low, high, initial }, onInput) {
    this.initial = initial;
    this.onInput = onInput;
    const step = (high - low) / 400 || 1;
    this.input = createElement("input", { type: "range", id, min: low, max: high, step: "any" });
    this.output = createElement("output", { for: id });
    const caption = createElement("label", { for: id }, label, ...(detail ? [" ", createElement("small", {}, detail)] : []));
    this.element = createElement("div", { class: "slider", title: "Double-click to reset" }, caption, this.input, this.output);
    this.input.addEventListener("input", () => this.change(this.input.valueAsNumber));
    this.element.addEventListener("dblclick", () => this.change(this.initial));
    this.input.addEventListener("keydown", (event) => this.onKey(event, step));
    this.value = initial;
  }

  onKey(event, step) {
    const signs = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 };
    if (["Delete", "Backspace"].includes(event.key)) this.change(this.initial);
    else if (event.key in signs) this.change(this.input.valueAsNumber + signs[event.key] * step * (event.shiftKey ? 20 : 4));
    else return;
    event.preventDefault();
  }

  change(value) {
    this.value = value;
    this.onInput(this.input.valueAsNumber);
  }

  get value() {
    return this.input.valueAsNumber;
  }

  // Shows a value without calling `onInput`.
  set value(value) {
    this.input.value = value;
    this.output.value = value.toFixed(2);
    this.input.setAttribute("aria-valuetext", value.toFixed(2));
  }
}

// Returns radio buttons for the classes. `onSelect(index)` is called when the reader selects one.
function createClassButtons(names, selected, onSelect) {
  const group = createElement("div", { class: "classes", role: "radiogroup", "aria-label": "Class" });
  names.forEach((name, index) => {
    const input = createElement("input", { type: "radio", name: "class", id: `class-${index}`, value: index });
    input.checked = index === selected;
    input.addEventListener("change", () => onSelect(index));
    group.append(input, createElement("label", { for: input.id }, name));
  });
  return group;
}

// Returns the sliders of the attributes. `onInput(index, value)` is called when the reader moves one.
function createAttributeSliders({ names, low, high, mean }, values, onInput) {
  return names.map((name, i) => {
    const limits = { low: low[i], high: high[i] > low[i] ? high[i] : low[i] + 1 };
    const slider = new Slider({ id: `attribute-${i}`, label: name, ...limits, initial: mean[i] }, (value) => onInput(i, value));
    slider.value = values[i];
    return slider;
  });
}

// Returns the sliders of the latents in the order of their importance.
function createLatentSliders({ order, measure, kind, center, low, high }, onInput) {
  const unit = kind === "KL" ? " nats" : "";
  return order.map((latent) => {
    const options = {
      id: `latent-${latent}`, label: `z ${latent + 1}`, detail: `${kind} ${measure[latent].toFixed(2)}${unit}`,
      low: low[latent], high: high[latent], initial: center[latent],
    };
    const slider = new Slider(options, (value) => onInput(latent, value));
    slider.latent = latent;
    return slider;
  });
}

// The images of the run: one sheet with `columns` images per row.
class Sheet {
  static async load(url, columns, [, height, width]) {
    const image = new Image();
    image.src = url;
    await image.decode();
    return Object.assign(new Sheet(), { image, columns, height, width });
  }

  draw(canvas, index) {
    const { image, columns, height, width } = this;
    canvas.width = width;
    canvas.height = height;
    const left = (index % columns) * width, top = Math.floor(index / columns) * height;
    canvas.getContext("2d").drawImage(image, left, top, width, height, 0, 0, width, height);
  }
}
