"use strict";
(() => {
  const PAGE = 50;
  const { columns, places, rows } = JSON.parse(document.getElementById("rows").textContent);
  const table = document.getElementById("compositions");
  const [head, body] = [table.tHead, table.tBodies[0]];
  const numeric = columns.map((_, i) => rows.some((r) => typeof r[i] === "number"));
  const statusColumn = columns.indexOf("status");
  const filters = columns.map(() => "");
  let order = { column: -1, descending: false };
  let shown = rows;
  let page = 0;

  const COMPARISONS = {
    ">": (a, b) => a > b,
    "<": (a, b) => a < b,
    ">=": (a, b) => a >= b,
    "<=": (a, b) => a <= b,
    "=": (a, b) => a === b,
  };

  function shownValue(value, digits) {
    if (value === null) return "";
    return digits === null ? String(value) : value.toFixed(digits).replace("-", "−");
  }

  function test(text, isNumber) {
    if (isNumber) {
      const found = /^(>=|<=|>|<|=)?\s*([-+]?[\d.]+(?:e[-+]?\d+)?)$/i.exec(text);
      if (!found) return null;
      const compare = COMPARISONS[found[1] || "="];
      const bound = Number(found[2]);
      return (value) => value !== null && compare(value, bound);
    }
    const wanted = text.toLowerCase();
    return (value) => String(value ?? "").toLowerCase().includes(wanted);
  }

  function compare(a, b) {
    // What is missing comes last, whichever way the column is sorted.
    if (a === null || b === null) return (a === null) - (b === null);
    const sign = order.descending ? -1 : 1;
    return sign * (typeof a === "number" ? a - b : String(a).localeCompare(String(b)));
  }

  function refresh() {
    const tests = [];
    filters.forEach((text, i) => {
      const input = head.rows[1].cells[i].firstChild;
      const check = text ? test(text, numeric[i]) : null;
      input.setAttribute("aria-invalid", String(Boolean(text) && !check));
      if (check) tests.push([i, check]);
    });
    shown = rows.filter((row) => tests.every(([i, check]) => check(row[i])));
    if (order.column >= 0) {
      shown = shown.slice().sort((a, b) => compare(a[order.column], b[order.column]));
    }
    page = 0;
    draw();
  }

  function draw() {
    const first = page * PAGE;
    const part = shown.slice(first, first + PAGE);
    body.replaceChildren(...part.map((row) => {
      const line = document.createElement("tr");
      if (row[statusColumn] !== "ok") line.className = "bad";
      row.forEach((value, i) => {
        const cell = line.insertCell();
        cell.className = numeric[i] ? "number" : "text";
        cell.textContent = shownValue(value, places[i]);
        if (!numeric[i]) cell.title = value ?? "";
      });
      return line;
    }));
    const last = first + part.length;
    const range = part.length ? `${first + 1}–${last} of ${shown.length}` : "none";
    document.getElementById("count").textContent = `${range} (${rows.length} in all)`;
    document.getElementById("previous").disabled = page === 0;
    document.getElementById("next").disabled = last >= shown.length;
  }

  const titles = head.insertRow();
  const inputs = head.insertRow();
  columns.forEach((name, i) => {
    const title = document.createElement("th");
    title.textContent = name;
    title.tabIndex = 0;
    const sort = () => {
      order = { column: i, descending: order.column === i && !order.descending };
      [...titles.cells].forEach((cell) => cell.removeAttribute("aria-sort"));
      title.setAttribute("aria-sort", order.descending ? "descending" : "ascending");
      refresh();
    };
    title.addEventListener("click", sort);
    title.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
    titles.append(title);
    const input = document.createElement("input");
    input.setAttribute("aria-label", `filter ${name}`);
    input.addEventListener("input", () => { filters[i] = input.value.trim(); refresh(); });
    const holder = document.createElement("td");
    holder.append(input);
    inputs.append(holder);
  });
  document.getElementById("clear").addEventListener("click", () => {
    filters.fill("");
    [...inputs.cells].forEach((cell) => { cell.firstChild.value = ""; });
    refresh();
  });
  document.getElementById("previous").addEventListener("click", () => { page -= 1; draw(); });
  document.getElementById("next").addEventListener("click", () => { page += 1; draw(); });
  refresh();
})();
