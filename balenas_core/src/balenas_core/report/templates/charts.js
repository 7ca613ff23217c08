// Charts that answer to a pointer: the image is replaced by the same chart, made by Vega, when
// somebody first points at it. "ast" evaluates expressions without eval, which the page forbids.
"use strict";
for (const source of document.querySelectorAll("figure.chart > script")) {
  const plot = source.previousElementSibling;
  const revive = async () => {
    const made = document.createElement("div");
    made.setAttribute("aria-hidden", "true");
    await vegaEmbed(made, JSON.parse(source.textContent), {
      mode: "vega-lite",
      renderer: "svg",
      actions: false,
      ast: true,
      defaultStyle: false,
      tooltip: { disableDefaultStyle: true },
    });
    plot.replaceChildren(made);
  };
  plot.addEventListener("pointerenter", revive, { once: true });
}
