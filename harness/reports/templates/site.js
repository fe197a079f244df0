"use strict";
// Comfort alone: everything in this file can be read, filtered and reached without it. Its digest stands in the
// Content-Security-Policy of the page, so that no other script can run.
(() => {
  const root = document.documentElement;
  root.classList.add("scripts");

  // The colours that were chosen last; a browser may keep nothing for files.
  const themes = [...document.querySelectorAll('input[name="theme"]')];
  const remembered = (use) => { try { return use(window.localStorage); } catch { return null; } };
  const theme = remembered((store) => store.getItem("harness-report-theme"));
  for (const choice of themes) {
    if (choice.value === theme) choice.checked = true;
    choice.addEventListener("change", () => remembered((store) => store.setItem("harness-report-theme", choice.value)));
  }

  // How many records the filters leave.
  const rows = [...document.querySelectorAll("#records tbody tr")];
  const count = document.getElementById("count");
  const boxes = [...document.querySelectorAll('.filters input[type="checkbox"]')];
  const recount = () => {
    const shown = rows.filter((row) => getComputedStyle(row).display !== "none").length;
    count.textContent = `${shown} of ${rows.length} records are shown`;
  };
  for (const box of boxes) box.addEventListener("change", recount);
  recount();

  // Points of figures: a tip on hover and focus; one stop of the Tab key for each figure, arrow keys from there.
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  tip.setAttribute("aria-hidden", "true");
  document.body.append(tip);
  const show = (spot) => {
    tip.textContent = spot.getAttribute("aria-label");
    tip.hidden = false;
    const at = spot.getBoundingClientRect();
    const left = Math.min(at.right + 8, innerWidth - tip.offsetWidth - 8);
    const below = at.bottom + 8 + tip.offsetHeight < innerHeight;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${Math.max(8, below ? at.bottom + 8 : at.top - tip.offsetHeight - 8)}px`;
  };
  const hide = () => { tip.hidden = true; };
  const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
  for (const figure of document.querySelectorAll("figure svg")) {
    const spots = [...figure.querySelectorAll("a.spot")];
    spots.forEach((spot, place) => {
      const title = spot.querySelector("title");
      spot.setAttribute("aria-label", title.textContent);
      title.remove();
      spot.setAttribute("tabindex", place === 0 ? "0" : "-1");
      spot.addEventListener("mouseenter", () => show(spot));
      spot.addEventListener("mouseleave", hide);
      spot.addEventListener("focus", () => show(spot));
      spot.addEventListener("blur", hide);
      spot.addEventListener("keydown", (event) => {
        if (event.key === "Escape") hide();
        const next = spots[place + steps[event.key]];
        if (!next || event.ctrlKey || event.altKey || event.metaKey) return;
        event.preventDefault();
        spot.setAttribute("tabindex", "-1");
        next.setAttribute("tabindex", "0");
        next.focus();
      });
    });
  }
  addEventListener("scroll", hide, { passive: true });

  // Where the address leads: its details opened, the window's title that of the page.
  const arrive = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const page = target?.closest(".page");
    document.title = [page?.querySelector("h2")?.textContent, "Reproducibility report"].filter(Boolean).join(" · ");
    for (let folded = target?.closest("details"); folded; folded = folded.parentElement.closest("details")) {
      folded.open = true;
    }
    if (target?.matches(".about")) {
      target.scrollIntoView();
      target.focus({ preventScroll: true });
    }
  };
  addEventListener("hashchange", arrive);
  arrive();
})();
