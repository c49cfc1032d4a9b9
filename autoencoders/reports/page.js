// Sorts a table by the column whose head is clicked, and opens pictures at their full size; the page works without.
"use strict";
function sortable(table) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells], original = [...body.rows];
  if (original.length < 2) return;
  heads.forEach((head, i) => {
    const value = (row) => {
      const cell = row.cells[i];
      return "v" in cell.dataset ? Number(cell.dataset.v) : i === 0 || cell.classList.contains("words") ? cell.textContent.trim() : NaN;
    };
    const sort = () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const missing = (x) => typeof x === "number" && Number.isNaN(x);
      body.append(...[...original].sort((a, b) => {
        const x = value(a), y = value(b);
        if (missing(x) || missing(y)) return missing(x) - missing(y);
        const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), undefined, { numeric: true });
        return up ? order : -order;
      }));
    };
    head.classList.add("sorts");
    head.tabIndex = 0;
    head.addEventListener("click", sort);
    head.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
  });
}
const dialog = document.querySelector("dialog"), large = dialog.querySelector("img");
function opens(image) {
  image.classList.add("opens");
  image.addEventListener("click", () => {
    large.src = image.src;
    large.alt = image.alt;
    dialog.showModal();
  });
}
dialog.addEventListener("click", () => dialog.close());
function enhance(part) {
  part.querySelectorAll("table:not(.fixed)").forEach(sortable);
  part.querySelectorAll(".picture img").forEach(opens);
}
enhance(document);
