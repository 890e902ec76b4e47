// Gives each cell of a page's tables the name of its column: narrow windows show it with the value.
(() => {
  function name(table) {
    const names = [...table.querySelectorAll("thead th")].map((head) => head.textContent.trim());
    if (names.length < 3) return;
    for (const row of table.querySelectorAll("tbody tr"))
      [...row.cells].forEach((cell, place) => {
        if (place && names[place]) cell.dataset.label = names[place];
      });
    table.classList.add("as-cards");
  }

  window.assayTables = (part) => part.querySelectorAll(".as-table:not(.as-diff)").forEach(name);
  document.addEventListener("DOMContentLoaded", () => window.assayTables(document));
})();
