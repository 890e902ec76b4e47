// Keys of the review page: the next and the previous that waits, the decision, and what keys there are;
// in lists the next and the previous line, and ticking it.
(() => {
  const at = (name) => document.querySelector(`[data-key="${name}"]`);
  const typing = (target) => target.closest("input, textarea, select, [contenteditable]");

  const links = () => [...document.querySelectorAll("#result_list .field-title a")];

  function inList(key) {
    const all = links();
    const here = all.indexOf(document.activeElement);
    if (key === "x" && here >= 0) {
      all[here].closest("tr").querySelector("input.action-select")?.click();
      return true;
    }
    const by = { j: 1, k: -1 }[key];
    const next = by && all[here < 0 ? (by > 0 ? 0 : all.length - 1) : here + by];
    if (!next) return false;
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: "center" });
    return true;
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    const found = at(event.key);
    if (!found) {
      if (inList(event.key)) event.preventDefault();
      return;
    }
    event.preventDefault();
    if (found.tagName === "A") found.click();
    else if (found.tagName === "DIALOG") found.open ? found.close() : found.showModal();
    else found.focus();
  });
})();
