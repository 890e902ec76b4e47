// The catalogue's keys and copies: j and k go through what was found, a button copies what stands beside it.
(() => {
  const typing = (target) => target.closest("input, textarea, select, [contenteditable]");

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const rows = [...document.querySelectorAll("[data-row]")];
    if (!rows.length) return;
    const down = event.key === "ArrowDown" && event.target.matches("input[type=search]");
    if (!down && (typing(event.target) || !["j", "k"].includes(event.key))) return;
    event.preventDefault();
    const at = rows.indexOf(document.activeElement) + (event.key === "k" ? -1 : 1);
    rows[Math.min(Math.max(at, 0), rows.length - 1)].focus();
  });

  document.addEventListener("click", async (event) => {
    for (const open of document.querySelectorAll(".as-facet[open]"))
      if (!open.contains(event.target)) open.open = false;
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const words = button.querySelector("span"), said = words.textContent;
    try {
      await navigator.clipboard.writeText(button.parentElement.querySelector("[data-copy-text]").textContent.trim());
      words.textContent = "Copied";
    } catch {
      words.textContent = "Select and copy";
    }
    setTimeout(() => { words.textContent = said; }, 2000);
  });

  // Without a script there is nothing that copies.
  document.addEventListener("DOMContentLoaded", () => {
    for (const button of document.querySelectorAll("[data-copy]")) button.hidden = false;
  });
})();
