// Lets the keyboard and a screen reader have what the theme gives to a mouse: its buttons are made of plain
// elements, its icons are words, and its page has no landmarks. What is a link or a button already stays so.
(() => {
  const CLICKED = "[x-on\\:click], [\\@click]";
  const OWN = "a[href], button, input, select, textarea, label, summary, [role=button], [aria-hidden=true]";
  const TEXTS = {
    close: "Close the menu",
    dock_to_right: "Show or hide the menu",
    unfold_more: "Menu",
    verified: "Overview",
  };
  const BACKDROP = "#changelist-filter-close";

  const words = (element) => {
    const copy = element.cloneNode(true);
    copy.querySelectorAll(".material-symbols-outlined").forEach((icon) => icon.remove());
    if (copy.matches(".material-symbols-outlined")) return "";
    return copy.textContent.trim();
  };

  // Names what shows nothing but an icon by its title, else by the icon's own word.
  function name(element) {
    if (words(element) || element.hasAttribute("aria-label") || element.querySelector("img[alt]")) return;
    const sign = element.matches(".material-symbols-outlined")
      ? element
      : element.querySelector(".material-symbols-outlined");
    if (!sign) return;
    const icon = sign.textContent.trim();
    element.setAttribute("aria-label", element.title || TEXTS[icon] || icon.replaceAll("_", " "));
  }

  function button(element) {
    if (element.matches(BACKDROP)) return element.setAttribute("aria-hidden", "true");
    if (element.matches(OWN) || element.querySelector("form, input, select, textarea")) return;
    element.setAttribute("role", "button");
    element.tabIndex = 0;
    name(element);
  }

  function landmark(selector, role, label) {
    const element = document.querySelector(selector);
    if (!element || element.hasAttribute("role")) return;
    if (role) element.setAttribute("role", role);
    if (label) element.setAttribute("aria-label", label);
  }

  function landmarks() {
    landmark("body.login #page", "main");
    const content = document.getElementById("content");
    if (content && !document.querySelector("main")) {
      landmark("#content", "main");
      content.tabIndex = -1;
      if (!document.querySelector(".as-skip")) {
        const skip = document.createElement("a");
        [skip.href, skip.className, skip.textContent] = ["#content", "as-skip", "Skip to the content"];
        (document.getElementById("page") ?? document.body).prepend(skip);
      }
    }
    document.querySelectorAll("#main > div:not(:has(#content))").forEach((part, place) => {
      if (part.hasAttribute("role") || !part.textContent.trim()) return;
      part.setAttribute("role", part.querySelector("h1") ? "banner" : "region");
      if (!part.querySelector("h1")) part.setAttribute("aria-label", `Part ${place + 1} of the page`);
    });
    landmark("#nav-sidebar-inner", "", "Pages");
    document.querySelectorAll("nav:not([aria-label])").forEach((nav, place) => {
      nav.setAttribute("aria-label", nav.querySelector("#logout-form") ? "Account" : `Menu ${place + 1}`);
    });
    document.querySelectorAll(".simplebar-content-wrapper[role=region]").forEach((region, place) => {
      region.setAttribute("aria-label", region.closest("#changelist-filter") ? "Filters" : `Scrolled ${place + 1}`);
    });
  }

  // In narrow windows each cell stands beside what its column is called, which the theme has not got right.
  function labels(root) {
    const heads = [...document.querySelectorAll("#result_list thead th")].map(words);
    root.querySelectorAll("#result_list tbody tr.data-row").forEach((row) => {
      [...row.cells].forEach((cell, place) => {
        if (heads[place] && !cell.querySelector("input.action-select")) cell.dataset.label = heads[place];
      });
    });
  }

  function mend(root) {
    root.querySelectorAll(".material-symbols-outlined:not([aria-hidden])").forEach((icon) => {
      if (!icon.matches(CLICKED)) icon.setAttribute("aria-hidden", "true");
    });
    root.querySelectorAll("a[href], button").forEach(name);
    root.querySelectorAll(CLICKED).forEach(button);
    root.querySelectorAll("a:not([href])").forEach((link) => link.matches(CLICKED) && button(link));
    labels(root);
    landmarks();
  }

  const shown = (selector) => [...document.querySelectorAll(selector)].find((each) => each.checkVisibility());

  document.addEventListener("DOMContentLoaded", () => {
    mend(document);
    new MutationObserver((changes) => {
      if (changes.some((change) => change.addedNodes.length)) mend(document);
    }).observe(document.body, { childList: true, subtree: true });
  });
  let opener = null;
  document.addEventListener("keydown", (event) => {
    const target = event.target;
    if ((event.key === "Enter" || event.key === " ") && target.matches("[role=button]:not(button)")) {
      event.preventDefault();
      opener = target;
      target.click();
    } else if (event.key === "Escape") {
      const sheet = shown(BACKDROP);
      const account = shown("nav:has(#logout-form):not(#nav-sidebar-inner)");
      if (!sheet && !account) return;
      (sheet ?? document.getElementById("content") ?? document.body).click();
      opener?.focus();
    }
  });
})();
