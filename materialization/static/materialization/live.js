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

  // What grows by lines: the page is asked again, and the part of it that is live takes its place.
  async function renew(part) {
    const page = await (await fetch(location.href)).text();
    const fresh = new DOMParser().parseFromString(page, "text/html").querySelector("[data-live-part]");
    if (!fresh || fresh.dataset.livePart === part.dataset.livePart) return;
    const [was, is] = [part, fresh].map((each) => each.querySelector("[data-live-run]")?.dataset);
    if (was?.status !== is?.status || was?.step !== is?.step) return location.reload();
    part.replaceWith(fresh);
    window.assayTables?.(fresh);
    window.assayTimes?.(fresh);
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
        const part = bar.closest("[data-live-part]");
        if (part && part.dataset.livePart !== `${run.chunks_done}/${run.chunks}`) await renew(part);
      }
    } catch {
      // The server restarts or the login ended: the next poll tells.
    }
    setTimeout(poll, EVERY_MS);
  }

  setTimeout(poll, EVERY_MS);
})();
