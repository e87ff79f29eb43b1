(() => {
  const root = document.documentElement;
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  const shown = new Set();
  const data = (name) => JSON.parse(document.getElementById("data-" + name).textContent);

  const show = (element) => {
    const name = element.dataset.plot;
    const figure = data(name);
    const layout = look.layout(figure, element);
    // The element has the height and not the layout, which forgets it whenever the window changes.
    element.style.height = `${layout.height}px`;
    delete layout.height;
    return Plotly.react(element, look.themed(figure.data), look.themed(layout), look.options).then(() => {
      shown.add(name);
      root.dataset.plots = String(shown.size);
    });
  };

  const plots = [...document.querySelectorAll(".plot[data-plot]")];
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries)
      if (entry.isIntersecting) {
        watcher.unobserve(entry.target);
        show(entry.target);
      }
  }, { rootMargin: "600px" });
  for (const element of plots) watcher.observe(element);
  scheme.addEventListener("change", () => plots.filter((element) => shown.has(element.dataset.plot)).forEach(show));
  addEventListener("beforeprint", () => {
    for (const element of plots) { watcher.unobserve(element); show(element); }
    for (const item of document.querySelectorAll("details[data-print]")) item.open = true;
  });

  // Crystals: the projection and the order of drawing are those of genmat.report.picture.
  const turn = (vector, matrix) => [0, 1, 2].map((j) => vector[0] * matrix[0][j] + vector[1] * matrix[1][j] + vector[2] * matrix[2][j]);
  const product = (left, right) => left.map((row) => turn(row, right));
  const aboutScreen = (dx, dy) => {
    const [c, s, d, t] = [Math.cos(dx), Math.sin(dx), Math.cos(dy), Math.sin(dy)];
    return product([[c, 0, -s], [0, 1, 0], [s, 0, c]], [[1, 0, 0], [0, d, t], [0, -t, d]]);
  };

  const draw = (svg, scene, rotation) => {
    const at = (point) => [scene.origin[0] + point[0] * scene.scale, scene.origin[1] - point[1] * scene.scale].map((v) => v.toFixed(1));
    const ends = (a, b) => { const [p, q] = [at(a), at(b)]; return `x1="${p[0]}" y1="${p[1]}" x2="${q[0]}" y2="${q[1]}"`; };
    const atoms = scene.positions.map((point) => turn(point, rotation));
    const width = scene.bond_width * scene.scale;
    const shapes = [];
    for (const [start, end] of scene.edges) {
      const [a, b] = [turn(start, rotation), turn(end, rotation)];
      shapes.push([Math.min(a[2], b[2]) - 0.5, `<line class="edge" ${ends(a, b)}/>`]);
    }
    for (const [i, j] of scene.bonds) {
      const middle = [0, 1, 2].map((k) => 0.5 * (atoms[i][k] + atoms[j][k]));
      for (const atom of [i, j]) {
        const place = ends(atoms[atom], middle);
        shapes.push([0.5 * (atoms[atom][2] + middle[2]),
          `<line class="outline" ${place} stroke-width="${(width + 1.6).toFixed(1)}"/>` +
          `<line ${place} stroke="${scene.colours[scene.symbols[atom]]}" stroke-width="${width.toFixed(1)}"/>`]);
      }
    }
    atoms.forEach((point, k) => {
      const [x, y] = at(point);
      const fill = `url(#${svg.dataset.crystal}-${scene.symbols[k]})`;
      shapes.push([point[2] + 0.3 * scene.radii[k],
        `<circle class="atom" cx="${x}" cy="${y}" r="${(scene.radii[k] * scene.scale).toFixed(1)}" fill="${fill}"/>`]);
    });
    svg.querySelector("g").innerHTML = shapes.sort((a, b) => a[0] - b[0]).map((shape) => shape[1]).join("");
  };

  for (const svg of document.querySelectorAll("svg[data-crystal]")) {
    let scene = null, rotation = null, last = null, waiting = false;
    const move = (dx, dy) => {
      scene = scene || data(svg.dataset.crystal);
      rotation = product(rotation || scene.rotation, aboutScreen(dx, dy));
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; draw(svg, scene, rotation); });
    };
    svg.addEventListener("pointerdown", (event) => { last = [event.clientX, event.clientY]; svg.setPointerCapture(event.pointerId); });
    svg.addEventListener("pointermove", (event) => {
      if (!last) return;
      move((event.clientX - last[0]) / 110, (event.clientY - last[1]) / 110);
      last = [event.clientX, event.clientY];
    });
    for (const name of ["pointerup", "pointercancel"]) svg.addEventListener(name, () => { last = null; });
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-0.15, 0], ArrowRight: [0.15, 0], ArrowUp: [0, -0.15], ArrowDown: [0, 0.15] }[event.key];
      if (step) { event.preventDefault(); move(...step); }
    });
  }
  root.classList.add("scripted");
})();
