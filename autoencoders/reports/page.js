// Sorts a table when the reader clicks a column header, and shows a figure at full size when the reader clicks the figure.
// The page can also be read without scripts.
"use strict";

function isMissing(value) {
  return typeof value === "number" && Number.isNaN(value);
}

// Returns the sort value of a cell: a number, a text, or NaN for a missing number.
function sortValue(row, index) {
  const cell = row.cells[index];
  if ("v" in cell.dataset) return Number(cell.dataset.v);
  return index === 0 || cell.classList.contains("text") ? cell.textContent.trim() : NaN;
}

// Compares two sort values. Missing values are last in ascending and in descending order.
function compare(x, y, ascending) {
  if (isMissing(x) || isMissing(y)) return isMissing(x) - isMissing(y);
  const numeric = typeof x === "number" && typeof y === "number";
  const order = numeric ? x - y : String(x).localeCompare(String(y), undefined, { numeric: true });
  return ascending ? order : -order;
}

function makeSortable(table) {
  const body = table.tBodies[0], headers = [...table.tHead.rows[0].cells], originalRows = [...body.rows];
  if (originalRows.length < 2) return;
  headers.forEach((header, index) => {
    const sort = () => {
      const ascending = header.getAttribute("aria-sort") !== "ascending";
      for (const other of headers) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const rows = [...originalRows].sort((a, b) => compare(sortValue(a, index), sortValue(b, index), ascending));
      body.append(...rows);
    };
    header.classList.add("sortable");
    header.tabIndex = 0;
    header.addEventListener("click", sort);
    header.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
  });
}

const dialog = document.querySelector("dialog"), dialogImage = dialog.querySelector("img");
function makeZoomable(image) {
  image.classList.add("zoomable");
  image.addEventListener("click", () => {
    dialogImage.src = image.src;
    dialogImage.alt = image.alt;
    dialog.showModal();
  });
}
dialog.addEventListener("click", () => dialog.close());

function enhance(element) {
  element.querySelectorAll("table:not(.fixed)").forEach(makeSortable);
  element.querySelectorAll(".picture img").forEach(makeZoomable);
}
enhance(document);
