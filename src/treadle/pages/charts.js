"use strict";
// Values under the pointer, and lines that a click on the legend hides. Without this script the charts stand as they are.
for (const svg of document.querySelectorAll("svg.chart")) {
  const [xLow, xHigh, xStart, xEnd, yLow, yHigh, yStart, yEnd] = svg.dataset.scale.split(" ").map(Number);
  const texts = svg.dataset.texts && JSON.parse(svg.dataset.texts);
  const figure = svg.closest("figure") ?? svg.parentElement;
  const groups = [...svg.querySelectorAll("g[data-line]")];
  const lines = groups.map((group) => ({
    group,
    points: group.querySelector(".line").getAttribute("d").split(/[ML]/).slice(1).map((p) => p.split(" ").map(Number)),
  }));
  const make = (name, parent, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return parent.appendChild(made);
  };
  const rule = make("path", svg, { class: "rule", d: "" });
  const dots = lines.map(({ group }) => make("circle", svg, { r: 4, class: `dot ${group.getAttribute("class")}` }));
  const tip = figure.appendChild(document.createElement("div"));
  tip.className = "tip";
  tip.hidden = true;
  const write = (value, span) =>
    value.toLocaleString("en", { maximumFractionDigits: Math.max(0, 3 - Math.floor(Math.log10(span))) });

  const hide = () => {
    tip.hidden = true;
    rule.setAttribute("d", "");
    for (const dot of dots) dot.style.display = "none";
  };
  const show = (x) => {
    const rows = [];
    let place = null;
    lines.forEach(({ group, points }, index) => {
      dots[index].style.display = "none";
      if (group.style.display === "none" || !points.length) return;
      const [px, py] = points.reduce((best, p) => (Math.abs(p[0] - x) < Math.abs(best[0] - x) ? p : best));
      if (place === null || Math.abs(px - x) < Math.abs(place - x)) place = px;
      dots[index].setAttribute("cx", px);
      dots[index].setAttribute("cy", py);
      dots[index].style.display = "";
      rows.push([group, yLow + ((py - yStart) / (yEnd - yStart)) * (yHigh - yLow)]);
    });
    if (place === null) return hide();
    rule.setAttribute("d", `M${place} ${yEnd}V${yStart}`);
    const at = xLow + ((place - xStart) / (xEnd - xStart)) * (xHigh - xLow);
    tip.replaceChildren();
    const head = tip.appendChild(document.createElement("b"));
    head.textContent = texts ? texts[Math.round(at)] : `${svg.dataset.x} ${write(at, xHigh - xLow)}`;
    for (const [group, value] of rows) {
      const row = tip.appendChild(document.createElement("span"));
      row.appendChild(document.createElement("i")).className = group.getAttribute("class");
      row.append(`${group.dataset.label} `);
      row.appendChild(document.createElement("em")).textContent = write(value, yHigh - yLow);
    }
    tip.hidden = false;
    const box = svg.getBoundingClientRect();
    const around = figure.getBoundingClientRect();
    const left = box.left - around.left + (place / svg.viewBox.baseVal.width) * box.width;
    const right = left > around.width / 2;
    tip.style.left = `${right ? left - tip.offsetWidth - 10 : left + 10}px`;
    tip.style.top = `${box.top - around.top + 14}px`;
  };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    show(((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width);
  });
  svg.addEventListener("pointerleave", hide);

  for (const entry of figure.querySelectorAll(".legend [data-line]")) {
    entry.setAttribute("role", "button");
    entry.setAttribute("aria-pressed", "true");
    entry.tabIndex = 0;
    const toggle = () => {
      const { group } = lines[Number(entry.dataset.line)];
      const shown = group.style.display === "none";
      group.style.display = shown ? "" : "none";
      entry.setAttribute("aria-pressed", String(shown));
      hide();
    };
    entry.addEventListener("click", toggle);
    entry.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        toggle();
      }
    });
  }
  hide();
}
