// Shows instants in the zone of whoever looks; the title has the exact one, and how long ago it is.
(() => {
  const exact = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "medium" });
  const named = new Intl.DateTimeFormat("en", { timeZoneName: "short" });
  const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  const UNITS = [["year", 31536000], ["month", 2592000], ["day", 86400], ["hour", 3600], ["minute", 60]];

  function ago(at) {
    const seconds = (at - Date.now()) / 1000;
    const [unit, length] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 1];
    return relative.format(Math.trunc(seconds / length), unit);
  }

  function show(element) {
    const at = new Date(element.dateTime);
    if (Number.isNaN(at.getTime()) || element.dataset.shown) return;
    element.dataset.shown = "yes";
    element.title = `${element.dateTime} (${ago(at)})`;
    const zone = element.querySelector("small");
    if (!zone || at.getTimezoneOffset() === 0) return;
    const [day, time] = exact.format(at).split(" ");
    const texts = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE);
    if (texts.length > 1) [texts[0].data, texts[1].data] = [day, `${time} `];
    else texts[0].data = `${day} ${time} `;
    zone.textContent = named.formatToParts(at).find((part) => part.type === "timeZoneName").value;
  }

  window.assayTimes = (part) => part.querySelectorAll("time.as-time").forEach(show);
  document.addEventListener("DOMContentLoaded", () => window.assayTimes(document));
})();
