(function () {
  "use strict";
  // Points: the title shows at once, also on touch; without script the browser shows it.
  const tip = document.getElementById("tip");
  for (const title of document.querySelectorAll("svg use > title")) {
    const point = title.parentNode;
    const text = title.textContent;
    point.setAttribute("aria-label", text);
    title.remove();
    point.addEventListener("pointerenter", (event) => {
      tip.textContent = text;
      tip.hidden = false;
      const right = event.clientX > innerWidth / 2;
      tip.style.left = right ? "" : event.clientX + 12 + "px";
      tip.style.right = right ? innerWidth - event.clientX + 12 + "px" : "";
      tip.style.top = Math.max(event.clientY - 40, 4) + "px";
    });
    point.addEventListener("pointerleave", () => { tip.hidden = true; });
  }
  const table = document.getElementById("trial-table");
  const body = table.tBodies[0];
  const heads = Array.from(table.tHead.rows[0].cells);
  const value = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.o === undefined ? cell.textContent : cell.dataset.o;
    if (!cell.classList.contains("num")) return text;
    return text === "-inf" ? -Infinity : Number(text);
  };
  heads.forEach((head, column) => {
    head.firstElementChild.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const sign = up ? 1 : -1;
      const rows = Array.from(body.rows).map((row) => [value(row, column), row]);
      rows.sort((a, b) => (a[0] < b[0] ? -sign : a[0] > b[0] ? sign : 0));
      body.append(...rows.map((pair) => pair[1]));
    });
  });
  const filter = document.getElementById("filter");
  const landed = document.getElementById("landed");
  const shown = document.getElementById("shown");
  const total = shown.textContent.replace(/^\d+/, "");
  const apply = () => {
    const words = filter.value.toLowerCase().replace(/,/g, "").split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of body.rows) {
      const cells = Array.from(row.cells, (cell) => cell.textContent.toLowerCase().replace(/,/g, ""));
      const fits = words.every((word) => cells.some((cell) => cell.includes(word)));
      row.hidden = !fits || (landed.checked && !row.classList.contains("landed"));
      if (!row.hidden) count += 1;
    }
    shown.textContent = count + total;
  };
  filter.addEventListener("input", apply);
  landed.addEventListener("change", apply);
})();
