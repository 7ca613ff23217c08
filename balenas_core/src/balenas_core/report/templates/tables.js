// Tables that can be sorted: a button in every heading of a column, for pointer and keyboard.
"use strict";
for (const table of document.querySelectorAll("table[data-sorted-by]")) {
  const body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];

  const keyOf = (row, column) => {
    const cell = row.cells[column];
    if (!("value" in cell.dataset)) return cell.textContent;
    return cell.dataset.value === "" ? null : Number(cell.dataset.value);
  };

  const compare = (a, b) =>
    typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true });

  const sort = (column) => {
    const isDescending = headings[column].getAttribute("aria-sort") === "ascending";
    const rows = [...body.rows].map((row) => [keyOf(row, column), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);  // what is missing is last
      return isDescending ? compare(b, a) : compare(a, b);
    });
    body.append(...rows.map(([, row]) => row));
    for (const heading of headings) heading.removeAttribute("aria-sort");
    const direction = isDescending ? "descending" : "ascending";
    headings[column].setAttribute("aria-sort", direction);
    const name = headings[column].textContent;
    document.getElementById("announcement").textContent =
      `${table.caption.textContent}: sorted by ${name}, ${direction}`;
  };

  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    button.addEventListener("click", () => sort(column));
    heading.append(button);
  });
  headings[Number(table.dataset.sortedBy)].setAttribute("aria-sort", "ascending");
}
