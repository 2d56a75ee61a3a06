"use strict";
// Draws every chart when it first has a width, and lets the legend and the buttons speak to them.
(() => {
  const views = [];
  const font = getComputedStyle(document.body).fontFamily;
  const config = {
    background: null,
    font,
    view: { stroke: null },
    axis: {
      labelColor: "var(--soft)", titleColor: "var(--soft)", gridColor: "var(--line)", domainColor: "var(--line)", tickColor: "var(--line)",
      labelFontSize: 11, titleFontSize: 11, titleFontWeight: "normal", labelPadding: 5,
    },
    area: { color: "var(--series0)" }, line: { color: "var(--series0)" }, circle: { color: "var(--series0)" },
  };

  const draw = async (box) => {
    const spec = JSON.parse(box.querySelector("script").textContent);
    const { view } = await vegaEmbed(box, spec, { renderer: "svg", actions: false, config, tooltip: { theme: "custom" } });
    views.push({ box, view });
  };
  const seen = new ResizeObserver((entries) => {
    for (const { target, contentRect } of entries) {
      if (contentRect.width === 0) continue;
      seen.unobserve(target);
      draw(target).catch((error) => { target.textContent = String(error); });
    }
  });
  document.querySelectorAll(".chart").forEach((box) => seen.observe(box));

  const tell = (where, signal, value) => views.forEach(({ box, view }) => {
    if (where.contains(box) && signal in view.getState().signals) view.signal(signal, value).runAsync();
  });
  const swatches = document.querySelectorAll(".swatch");
  let held = "";
  swatches.forEach((swatch) => {
    const bar = swatch.dataset.bar;
    swatch.addEventListener("mouseenter", () => tell(document, "lit", bar));
    swatch.addEventListener("mouseleave", () => tell(document, "lit", held));
    swatch.addEventListener("click", () => {
      held = held === bar ? "" : bar;
      swatches.forEach((s) => s.setAttribute("aria-pressed", String(s.dataset.bar === held)));
      tell(document, "lit", held);
    });
  });
  document.querySelectorAll(".choose").forEach((choice) => choice.addEventListener("click", ({ target }) => {
    if (!("metric" in target.dataset)) return;
    choice.querySelectorAll("button").forEach((button) => button.setAttribute("aria-pressed", String(button === target)));
    tell(choice.parentElement, "metric", target.dataset.metric);
  }));

  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => { root.dataset.theme = dark.matches ? "dark" : "light"; };
  follow();
  dark.addEventListener("change", follow);
  document.getElementById("theme").addEventListener("click", () => { root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark"; });
})();
