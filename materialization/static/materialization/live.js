// Keeps the progress of live runs on a page up to date; loads the page anew when one moves on.
(() => {
  if (window.assayLive) return; // two panels of one page asked for it
  window.assayLive = true;
  const url = document.currentScript.dataset.url;
  const EVERY_MS = 1500;

  function show(bar, run) {
    const percent = Math.round(run.progress * 100);
    bar.querySelector(".as-track > span").style.width = percent + "%";
    bar.querySelector("small").textContent = percent + " %";
    for (const field of document.querySelectorAll(`[data-run-${CSS.escape(bar.dataset.liveRun)}]`)) {
      const value = run[field.dataset.field];
      field.textContent = typeof value === "number" ? value.toLocaleString("en-US") : value || "not known yet";
    }
  }

  async function poll() {
    const bars = [...document.querySelectorAll("[data-live-run]")];
    if (!bars.length) return;
    const ids = bars.map((bar) => bar.dataset.liveRun).join(",");
    try {
      const answer = await fetch(`${url}?ids=${ids}`, { headers: { Accept: "application/json" } });
      const runs = await answer.json();
      for (const bar of bars) {
        const run = runs[bar.dataset.liveRun];
        if (!run) continue;
        const moved = run.status !== bar.dataset.status || (bar.dataset.step && run.step !== bar.dataset.step);
        if (moved) return location.reload();
        show(bar, run);
      }
    } catch {
      // The server restarts or the login ended: the next poll tells.
    }
    setTimeout(poll, EVERY_MS);
  }

  setTimeout(poll, EVERY_MS);
})();
