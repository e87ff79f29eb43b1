"use strict";
// What every figure shares: colours of the page's theme, fonts, margins.
const look = (() => {
  // Colours of figures are variables of the page's style.
  const themed = (value) => {
    const style = getComputedStyle(document.documentElement);
    const walk = (item) => {
      if (typeof item === "string") {
        const found = /^var\((--[a-z0-9-]+)\)$/.exec(item);
        return found ? style.getPropertyValue(found[1]).trim() : item;
      }
      if (Array.isArray(item)) return item.map(walk);
      if (item && typeof item === "object")
        return Object.fromEntries(Object.entries(item).map(([key, part]) => [key, walk(part)]));
      return item;
    };
    return walk(value);
  };

  const axis = { gridcolor: "var(--grid)", zerolinecolor: "var(--muted)", linecolor: "var(--muted)", fixedrange: true };

  const layout = (figure, element) => {
    const narrow = element.clientWidth < 520;
    const made = {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: false,
      font: { family: getComputedStyle(document.body).fontFamily, size: narrow ? 11.5 : 13, color: "var(--ink)" },
      hoverlabel: { bgcolor: "var(--paper)", bordercolor: "var(--muted)", font: { color: "var(--ink)" }, align: "left" },
      margin: { l: 10, r: narrow ? 22 : 34, t: figure.layout.showlegend === false ? 26 : 44, b: 48 },
      ...figure.layout,
    };
    if (narrow && made.title && made.legend?.orientation === "h" && made.showlegend !== false) {
      // The entries of a legend stand one below the other here, and must not reach the title.
      const more = 20 * Math.max(0, figure.data.filter((trace) => trace.showlegend !== false).length - 1);
      made.margin = { ...made.margin, t: made.margin.t + more };
      made.height += more;
    }
    if (made.scene?.aspectratio) {
      // The view shows a given part of its height; what is less wide than that shows the crystal smaller.
      const share = Math.min(1, element.clientWidth / made.height);
      const ratio = Object.entries(made.scene.aspectratio).map(([side, value]) => [side, share * value]);
      made.scene = { ...made.scene, aspectratio: Object.fromEntries(ratio) };
    }
    for (const side of ["xaxis", "yaxis"]) if (made[side]) made[side] = { ...axis, ...made[side] };
    return made;
  };

  const options = { responsive: true, displaylogo: false, displayModeBar: false, scrollZoom: false };
  return { themed, layout, options };
})();
