// Comments on the lines of a version: by a click on a line's number, or by keys (n, p, c, Escape).
(() => {
  // The page is not there yet when this is read.
  const template = () => document.getElementById("as-line-form");
  const lines = () =>
    [...document.querySelectorAll(".as-line[data-line]")].filter((line) => line.checkVisibility());
  // Lines that changed are what one comes for; where none did, every line is.
  const stops = () => {
    const changed = lines().filter((line) => line.matches(".as-went, .as-came"));
    const here = document.activeElement.closest(".as-plain");
    return here ? [...here.querySelectorAll(".as-line[data-line]")] : changed.length ? changed : lines();
  };
  let opened = null;
  let last = null;

  function close() {
    if (!opened) return;
    opened.remove();
    opened = null;
    last?.focus();
  }

  function open(line) {
    close();
    opened = template().content.firstElementChild.cloneNode(true);
    for (const name of ["path", "side", "line"]) opened.elements[name].value = line.dataset[name];
    opened.querySelector("[data-cancel]").addEventListener("click", close);
    opened.addEventListener("keydown", (event) => {
      if (event.key === "Escape") close();
    });
    line.after(opened);
    last = line;
    opened.elements.body.focus();
  }

  function step(by) {
    const all = stops();
    const at = all.indexOf(document.activeElement);
    const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by];
    if (!next) return;
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: "center" });
  }

  document.addEventListener("click", (event) => {
    const number = event.target.closest(".as-line[data-line] .as-number");
    if (number && template()) open(number.closest(".as-line"));
  });
  document.addEventListener("keydown", (event) => {
    if (!template() || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select, [contenteditable]")) return;
    const line = document.activeElement.closest(".as-line[data-line]");
    if (event.key === "n") step(1);
    else if (event.key === "p") step(-1);
    else if (event.key === "c" && line) open(line);
    else return;
    event.preventDefault();
  });
})();
