// Asks the page's server every two seconds how far the runs are, draws their curves, and puts in what is new.
"use strict";
const place = document.querySelector("#live"), EVERY = 2000, SVG = "http://www.w3.org/2000/svg";
// What the page was sent as, before its script changed it: only sections that differ are put in anew.
const sources = new Map([...document.querySelectorAll("main > section")].map((part) => [part.id, part.outerHTML]));
let tag = "", lost = 0;

function make(name, classes, ...inside) {
  const element = document.createElement(name);
  if (classes) element.className = classes;
  element.append(...inside);
  return element;
}
function svg(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}
const short = (x) => x === 0 ? "0" : Math.abs(x) >= 1e5 || Math.abs(x) < 1e-3 ? x.toExponential(1) : String(Number(x.toPrecision(4)));

function card(run) {
  const head = make("header", "", make("b", "", run.label), make("span", `state ${run.state}`, run.state === "quiet" ? "no sign: killed?" : run.state));
  if (run.setting) head.append(make("small", "", run.setting));
  const fill = make("i"), box = make("article", `run ${run.state}`, head);
  if (run.share !== null) {
    fill.style.width = `${100 * run.share}%`;
    box.append(make("div", "bar", fill));
  }
  const facts = make("p", "facts", ...run.facts.map((words) => make("span", "", words)));
  for (const [name, value] of run.values) facts.append(make("span", "", make("span", "name", `${name} `), value));
  box.append(facts);
  if (run.error) box.append(make("p", "bad", run.error));
  for (const words of run.warnings) box.append(make("p", "bad", `Warning: ${words}`));
  return box;
}

function ticks(low, high) {
  const rough = (high - low) / 5 || 1, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((x) => x * power).find((x) => x >= rough), found = [];
  for (let x = Math.ceil(low / step) * step; x <= high + step * 1e-9; x += step) found.push(Math.abs(x) < step * 1e-9 ? 0 : x);
  return found;
}

function chart(content, number) {
  const width = 420, height = 210, left = 48, right = 8, top = 8, bottom = 22;
  const all = content.series.flatMap((line) => line.points), values = all.map((p) => p[1]).sort((a, b) => a - b);
  // The first steps of a training are far from all others: what is above the upper twentieth may leave the frame.
  const cut = values[Math.min(values.length - 1, Math.ceil(values.length * 0.95))], least = values[0];
  const last = Math.max(...all.map((p) => p[0]), 1), pad = (cut - least || Math.abs(cut) || 1) * 0.06;
  const low = least >= 0 && least - pad < 0 ? 0 : least - pad, high = cut + pad;
  const x = (v) => left + (width - left - right) * v / last, y = (v) => height - bottom - (height - top - bottom) * (v - low) / (high - low);
  const frame = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": content.title });
  const clip = svg("clipPath", { id: `clip${number}` });
  clip.append(svg("rect", { x: left, y: top - 2, width: width - left - right + 2, height: height - top - bottom + 4 }));
  frame.append(clip);
  for (const tick of ticks(low, high)) {
    frame.append(svg("line", { x1: left, x2: width - right, y1: y(tick), y2: y(tick) }), svg("text", { x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, short(tick)));
  }
  for (const tick of ticks(0, last)) frame.append(svg("text", { x: x(tick), y: height - 5, "text-anchor": tick > last * 0.95 ? "end" : "middle" }, tick.toLocaleString("en")));
  const legend = make("ul", "legend");
  content.series.forEach((line) => {
    const color = `c${line.color % 8}`;
    const points = line.points;
    if (points.length === 1) frame.append(svg("circle", { class: color, cx: x(points[0][0]), cy: y(points[0][1]), r: 3 }));
    frame.append(svg("polyline", { class: color, "clip-path": `url(#clip${number})`, points: points.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(" ") }));
    legend.append(make("li", color, make("span", "", `${line.name} ${short(line.points.at(-1)[1])}`)));
  });
  const unit = make("small", "", `${content.unit ? ` ${content.unit}` : ""}, over steps`);
  return make("figure", "chart", make("figcaption", "", content.title, unit), frame, legend);
}

function draw(state) {
  const charts = make("div", "charts", ...state.charts.map(chart));
  place.replaceChildren(...state.runs.map(card), ...(state.charts.length ? [charts] : []));
}

// Puts in the sections that differ, once their pictures are there, and keeps what is looked at where it is.
async function replace() {
  const answer = await fetch("./", { cache: "no-store" });
  const next = new DOMParser().parseFromString(await answer.text(), "text/html"), main = document.querySelector("main");
  const fresh = [...next.querySelectorAll("main > section")];
  const changed = fresh.filter((part) => sources.get(part.id) !== part.outerHTML);
  const images = changed.flatMap((part) => [...part.querySelectorAll("img")]);
  await Promise.all(images.map((image) => { const ahead = new Image(); ahead.src = image.src; return ahead.decode().catch(() => {}); }));
  const looked = [...main.children].find((part) => part.getBoundingClientRect().bottom > 0), id = looked?.id, before = looked?.getBoundingClientRect().top;
  const kept = new Map([...main.children].map((part) => [part.id, part]));
  for (const part of fresh) {
    const same = !changed.includes(part) && kept.get(part.id);
    if (!same) sources.set(part.id, part.outerHTML);
    if (same) main.append(same);
    else { main.append(document.adoptNode(part)); kept.get(part.id)?.remove(); enhance(part); }
    kept.delete(part.id);
  }
  for (const part of kept.values()) part.remove();
  const header = next.querySelector("body > header");
  if (header) document.querySelector("body > header").replaceWith(header);
  document.title = next.title;
  const after = id && document.getElementById(id)?.getBoundingClientRect().top;
  if (before < 0 && after !== undefined) scrollBy({ top: after - before, behavior: "instant" });
  place.dataset.version = next.querySelector("#live").dataset.version;
}

async function ask() {
  try {
    const answer = await fetch("state", { cache: "no-store", headers: tag ? { "If-None-Match": tag } : {} });
    if (answer.status === 200) {
      const state = await answer.json();
      draw(state);
      if (state.version !== place.dataset.version) await replace();
      tag = answer.headers.get("ETag");
    }
    document.querySelector(".lost")?.remove();
    lost = 0;
  } catch {
    if (++lost === 3) place.prepend(make("p", "lost", "The server has ended: this is what it said last."));
  }
  setTimeout(ask, document.hidden ? 5 * EVERY : EVERY);
}
ask();
