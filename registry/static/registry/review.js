// Keys of the review page: the next and the previous that waits, the decision, and what keys there are.
(() => {
  const at = (name) => document.querySelector(`[data-key="${name}"]`);
  const typing = (target) => target.closest("input, textarea, select, [contenteditable]");

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    const found = at(event.key);
    if (!found) return;
    event.preventDefault();
    if (found.tagName === "A") found.click();
    else if (found.tagName === "DIALOG") found.open ? found.close() : found.showModal();
    else found.focus();
  });
})();
