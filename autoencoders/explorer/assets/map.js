// Draws the map of the latent space: the codes on one canvas, the selected point and the path on a second canvas above.

const MARGIN = 30, POINT_RADIUS = 3.2;
// Colors of up to 8 classes (Okabe and Ito, 2008) and of up to 10 classes (Petroff, 2021), as in figures/style.py.
const FEW_COLORS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a8f99", "#c9bc1f"];
const MANY_COLORS = ["#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"];

// Returns one color per class, or no colors if there are more classes than colors.
function classColors(count) {
  if (count > MANY_COLORS.length) return [];
  return count <= FEW_COLORS.length ? FEW_COLORS : MANY_COLORS;
}

class LatentMap {
  // `onMove(point, kind)` is called with a point of the plane, and `preview`, `select` or `leave`.
  constructor(element, onMove) {
    this.element = element;
    [this.base, this.overlay] = element.querySelectorAll("canvas");
    this.onMove = onMove;
    this.points = [];
    this.marks = {};
    this.addPointerEvents();
    new ResizeObserver(() => this.resize()).observe(element);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.resize());
  }

  addPointerEvents() {
    const element = this.element;
    let pressed = false;
    const report = (event, kind) => this.onMove(this.pointAt(event), kind);
    element.addEventListener("pointerdown", (event) => {
      pressed = true;
      element.setPointerCapture(event.pointerId);
      report(event, "select");
    });
    element.addEventListener("pointermove", (event) => {
      if (pressed || event.pointerType === "mouse") report(event, pressed ? "select" : "preview");
    });
    for (const name of ["pointerup", "pointercancel"]) element.addEventListener(name, () => { pressed = false; });
    element.addEventListener("pointerleave", (event) => { if (!pressed) report(event, "leave"); });
  }

  // Shows other codes. `points` are points of the plane, `classes` their class indices or null.
  setPoints(points, classes, colors, names) {
    Object.assign(this, { points, classes, colors, names });
    const lows = [0, 1].map((k) => Math.min(...points.map((point) => point[k])));
    const highs = [0, 1].map((k) => Math.max(...points.map((point) => point[k])));
    this.center = lows.map((low, k) => (low + highs[k]) / 2);
    // All points are visible. Axes have the same scale, because distances on the map are distances between codes.
    this.limit = 0.54 * Math.max(...highs.map((high, k) => high - lows[k]), 1e-6);
    this.resize();
  }

  get size() {
    return this.element.clientWidth;
  }

  toPixel([x, y]) {
    const half = (this.size - 2 * MARGIN) / 2, [centerX, centerY] = this.center;
    return [MARGIN + half * (1 + (x - centerX) / this.limit), MARGIN + half * (1 - (y - centerY) / this.limit)];
  }

  pointAt(event) {
    const box = this.element.getBoundingClientRect(), half = (this.size - 2 * MARGIN) / 2;
    const x = event.clientX - box.left - this.element.clientLeft, y = event.clientY - box.top - this.element.clientTop;
    const [centerX, centerY] = this.center;
    return [centerX + ((x - MARGIN) / half - 1) * this.limit, centerY + (1 - (y - MARGIN) / half) * this.limit];
  }

  resize() {
    if (!this.limit || !this.size) return;
    for (const canvas of [this.base, this.overlay]) {
      canvas.width = canvas.height = this.size * devicePixelRatio;
      canvas.getContext("2d").scale(devicePixelRatio, devicePixelRatio);
    }
    this.drawPoints();
    this.drawMarks();
  }

  color(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  drawPoints() {
    const context = this.base.getContext("2d"), size = this.size, inner = size - 2 * MARGIN;
    context.clearRect(0, 0, size, size);
    context.strokeStyle = this.color("--line");
    context.strokeRect(MARGIN, MARGIN, inner, inner);
    context.font = "12px system-ui, sans-serif";
    this.drawAxes(context, size);
    context.globalAlpha = 0.75;
    this.points.forEach((point, index) => {
      const [x, y] = this.toPixel(point), own = this.classes && this.colors[this.classes[index]];
      context.fillStyle = own || this.color("--accent");
      context.beginPath();
      context.arc(x, y, POINT_RADIUS, 0, 2 * Math.PI);
      context.fill();
    });
    context.globalAlpha = 1;
  }

  drawAxes(context, size) {
    const step = roundStep(this.limit / 2.5);
    context.fillStyle = this.color("--soft");
    const ticks = (k) => {
      const first = Math.ceil((this.center[k] - this.limit) / step), last = Math.floor((this.center[k] + this.limit) / step);
      return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
    };
    for (const value of ticks(0)) {
      const [x] = this.toPixel([value, 0]);
      this.drawLine(context, [x, MARGIN], [x, size - MARGIN]);
      context.textAlign = "center";
      context.fillText(formatNumber(value), x, size - MARGIN + 14);
    }
    for (const value of ticks(1)) {
      const [, y] = this.toPixel([0, value]);
      this.drawLine(context, [MARGIN, y], [size - MARGIN, y]);
      context.textAlign = "right";
      context.fillText(formatNumber(value), MARGIN - 4, y + 4);
    }
    context.textAlign = "center";
    context.fillText(this.names[0] ?? "", size / 2, size - 3);
    context.fillText(this.names[1] ?? "", size / 2, MARGIN - 9);
  }

  drawLine(context, from, to) {
    context.beginPath();
    context.moveTo(...from);
    context.lineTo(...to);
    context.stroke();
  }

  // Shows the point of the current code, the neighbors, and the path: `{ point, neighbors, path, a, b }`.
  setMarks(marks) {
    this.marks = marks;
    this.drawMarks();
  }

  drawMarks() {
    const context = this.overlay.getContext("2d"), { point, neighbors = [], path = [], a, b } = this.marks;
    context.clearRect(0, 0, this.size, this.size);
    if (!this.limit) return;
    const ink = this.color("--ink"), page = this.color("--panel");
    context.lineWidth = 2;
    context.strokeStyle = ink;
    if (path.length) {
      context.setLineDash([5, 4]);
      context.beginPath();
      path.forEach((step) => context.lineTo(...this.toPixel(step)));
      context.stroke();
      context.setLineDash([]);
    }
    context.lineWidth = 1.5;
    for (const index of neighbors) {
      context.beginPath();
      context.arc(...this.toPixel(this.points[index]), POINT_RADIUS + 2, 0, 2 * Math.PI);
      context.stroke();
    }
    for (const [name, end] of [["A", a], ["B", b]]) if (end) this.drawLabel(context, name, end, ink, page);
    if (point) this.drawCross(context, point, ink, page);
  }

  drawLabel(context, name, end, ink, page) {
    const [x, y] = this.toPixel(end).map((value, k) => value + [14, -14][k]); // next to the cross, not below it
    context.fillStyle = ink;
    context.beginPath();
    context.arc(x, y, 9, 0, 2 * Math.PI);
    context.fill();
    context.fillStyle = page;
    context.font = "bold 12px system-ui, sans-serif";
    context.textAlign = "center";
    context.fillText(name, x, y + 4);
  }

  drawCross(context, point, ink, page) {
    const [x, y] = this.toPixel(point);
    for (const [color, width] of [[page, 5], [ink, 2]]) {
      context.strokeStyle = color;
      context.lineWidth = width;
      context.beginPath();
      context.arc(x, y, 8, 0, 2 * Math.PI);
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        context.moveTo(x + 4 * dx, y + 4 * dy);
        context.lineTo(x + 13 * dx, y + 13 * dy);
      }
      context.stroke();
    }
  }
}

// Returns the largest of 1, 2 and 5 times a power of ten that is at most x, for the distance of grid lines.
function roundStep(x) {
  const power = 10 ** Math.floor(Math.log10(x));
  return [5, 2, 1].map((factor) => factor * power).find((step) => step <= x);
}
