// Updates the live page: requests the progress of the runs every two seconds, plots their curves, and replaces the
// sections of the page that have changed.
"use strict";
const progress = document.querySelector("#live"), INTERVAL = 2000, SVG = "http://www.w3.org/2000/svg";
// Section id -> HTML text as received from the server, before scripts change the section. A section is replaced only if
// its HTML text has changed.
const receivedHtml = new Map([...document.querySelectorAll("main > section")].map((section) => [section.id, section.outerHTML]));
let etag = "", failures = 0;

function createElement(name, className, ...children) {
  const element = document.createElement(name);
  if (className) element.className = className;
  element.append(...children);
  return element;
}
function createSvg(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}
function formatNumber(x) {
  if (x === 0) return "0";
  return Math.abs(x) >= 1e5 || Math.abs(x) < 1e-3 ? x.toExponential(1) : String(Number(x.toPrecision(4)));
}

function createRunPanel(run) {
  const header = createElement("header", "", createElement("b", "", run.label), createElement("span", `state ${run.state}`, run.state));
  if (run.setting) header.append(createElement("small", "", run.setting));
  const panel = createElement("article", `run ${run.state}`, header);
  if (run.share !== null) {
    const bar = createElement("i");
    bar.style.width = `${100 * run.share}%`;
    panel.append(createElement("div", "bar", bar));
  }
  const facts = createElement("p", "facts", ...run.facts.map((fact) => createElement("span", "", fact)));
  for (const [name, value] of run.values) facts.append(createElement("span", "", createElement("span", "name", `${name} `), value));
  panel.append(facts);
  if (run.error) panel.append(createElement("p", "bad", run.error));
  for (const warning of run.warnings) panel.append(createElement("p", "bad", `Warning: ${warning}`));
  return panel;
}

// Returns about five round numbers between two limits, for the ticks of an axis.
function computeTicks(low, high) {
  const rough = (high - low) / 5 || 1, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((x) => x * power).find((x) => x >= rough), ticks = [];
  for (let x = Math.ceil(low / step) * step; x <= high + step * 1e-9; x += step) ticks.push(Math.abs(x) < step * 1e-9 ? 0 : x);
  return ticks;
}

function createChart(content, number) {
  const width = 420, height = 210, left = 48, right = 8, top = 8, bottom = 22;
  const points = content.series.flatMap((line) => line.points), values = points.map((p) => p[1]).sort((a, b) => a - b);
  // The first values of a training are much larger than all later values. The chart may cut off the highest 5 % of the
  // values, so that the rest of the curve is visible.
  const largest = values[Math.min(values.length - 1, Math.ceil(values.length * 0.95))], smallest = values[0];
  const lastStep = Math.max(...points.map((p) => p[0]), 1), margin = (largest - smallest || Math.abs(largest) || 1) * 0.06;
  const low = smallest >= 0 && smallest - margin < 0 ? 0 : smallest - margin, high = largest + margin;
  const x = (step) => left + (width - left - right) * step / lastStep;
  const y = (value) => height - bottom - (height - top - bottom) * (value - low) / (high - low);
  const svg = createSvg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": content.title });
  const clip = createSvg("clipPath", { id: `clip${number}` });
  clip.append(createSvg("rect", { x: left, y: top - 2, width: width - left - right + 2, height: height - top - bottom + 4 }));
  svg.append(clip);
  for (const tick of computeTicks(low, high)) {
    svg.append(
      createSvg("line", { x1: left, x2: width - right, y1: y(tick), y2: y(tick) }),
      createSvg("text", { x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, formatNumber(tick)),
    );
  }
  for (const tick of computeTicks(0, lastStep)) {
    const anchor = tick > lastStep * 0.95 ? "end" : "middle";
    svg.append(createSvg("text", { x: x(tick), y: height - 5, "text-anchor": anchor }, tick.toLocaleString("en")));
  }
  const legend = createElement("ul", "legend");
  for (const line of content.series) {
    const color = `c${line.color % 8}`, [firstStep, firstValue] = line.points[0];
    if (line.points.length === 1) svg.append(createSvg("circle", { class: color, cx: x(firstStep), cy: y(firstValue), r: 3 }));
    const path = line.points.map(([step, value]) => `${x(step).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
    svg.append(createSvg("polyline", { class: color, "clip-path": `url(#clip${number})`, points: path }));
    legend.append(createElement("li", color, createElement("span", "", `${line.name} ${formatNumber(line.points.at(-1)[1])}`)));
  }
  const unit = createElement("small", "", `${content.unit ? ` ${content.unit}` : ""}, x-axis: optimizer step`);
  return createElement("figure", "chart", createElement("figcaption", "", content.title, unit), svg, legend);
}

function drawProgress(state) {
  const charts = createElement("div", "charts", ...state.charts.map(createChart));
  progress.replaceChildren(...state.runs.map(createRunPanel), ...(state.charts.length ? [charts] : []));
}

// Loads the figures of new sections before the sections are inserted, so that the visible part of the page does not move.
async function preloadImages(sections) {
  const images = sections.flatMap((section) => [...section.querySelectorAll("img")]);
  await Promise.all(images.map((image) => {
    const loaded = new Image();
    loaded.src = image.src;
    return loaded.decode().catch(() => {});
  }));
}

// Replaces the sections that have changed, and keeps the section that the reader sees at the same position.
async function updateSections() {
  const response = await fetch("./", { cache: "no-store" });
  const next = new DOMParser().parseFromString(await response.text(), "text/html"), main = document.querySelector("main");
  const nextSections = [...next.querySelectorAll("main > section")];
  const changed = nextSections.filter((section) => receivedHtml.get(section.id) !== section.outerHTML);
  await preloadImages(changed);
  const visible = [...main.children].find((section) => section.getBoundingClientRect().bottom > 0);
  const id = visible?.id, before = visible?.getBoundingClientRect().top;
  const current = new Map([...main.children].map((section) => [section.id, section]));
  for (const section of nextSections) {
    const unchanged = !changed.includes(section) && current.get(section.id);
    if (unchanged) main.append(unchanged);
    else {
      receivedHtml.set(section.id, section.outerHTML);
      main.append(document.adoptNode(section));
      current.get(section.id)?.remove();
      enhance(section);
    }
    current.delete(section.id);
  }
  for (const removed of current.values()) removed.remove();
  const header = next.querySelector("body > header");
  if (header) document.querySelector("body > header").replaceWith(header);
  document.title = next.title;
  const after = id && document.getElementById(id)?.getBoundingClientRect().top;
  if (before < 0 && after !== undefined) scrollBy({ top: after - before, behavior: "instant" });
  progress.dataset.version = next.querySelector("#live").dataset.version;
}

async function poll() {
  try {
    const response = await fetch("state", { cache: "no-store", headers: etag ? { "If-None-Match": etag } : {} });
    if (response.status === 200) {
      const state = await response.json();
      drawProgress(state);
      if (state.version !== progress.dataset.version) await updateSections();
      etag = response.headers.get("ETag");
    }
    document.querySelector(".disconnected")?.remove();
    failures = 0;
  } catch {
    if (++failures === 3) progress.prepend(createElement("p", "disconnected", "The server does not respond. The page shows the last known state."));
  }
  setTimeout(poll, document.hidden ? 5 * INTERVAL : INTERVAL);
}
poll();
