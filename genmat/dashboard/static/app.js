"use strict";
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const drawn = new Map(); // element -> [address, figure]

  const draw = (element, figure) => {
    const layout = look.layout(figure, element);
    // The element has the height and not the layout, which forgets it whenever the window changes.
    element.style.height = `${layout.height}px`;
    delete layout.height;
    element.dataset.title = layout.title ? layout.title.text : "figure";
    return Plotly.react(element, look.themed(figure.data), look.themed(layout), look.options);
  };

  const load = async (element) => {
    const address = element.dataset.figure;
    const answer = await fetch(address, { headers: { accept: "application/json" } });
    if (element.dataset.figure !== address) return; // another one was chosen meanwhile
    const content = await answer.json();
    const filled = answer.ok && content.data.length > 0;
    element.classList.toggle("empty", !filled);
    if (filled) {
      if (element.querySelector(".note")) element.textContent = "";
      drawn.set(element, [address, content]);
      await draw(element, content);
    } else {
      if (drawn.delete(element)) Plotly.purge(element);
      element.style.height = "";
      const note = document.createElement("p");
      note.className = "note";
      note.textContent = content.detail || `${element.getAttribute("aria-label")}: nothing to show yet.`;
      element.replaceChildren(note);
    }
    element.dataset.ready = address;
  };

  // Figures are fetched when they come near the window.
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries)
      if (entry.isIntersecting) {
        watcher.unobserve(entry.target);
        load(entry.target);
      }
  }, { rootMargin: "500px" });
  for (const element of document.querySelectorAll("[data-figure]")) watcher.observe(element);
  addEventListener("beforeprint", () => {
    for (const element of document.querySelectorAll("[data-figure]")) { watcher.unobserve(element); load(element); }
  });
  dark.addEventListener("change", () => drawn.forEach(([, figure], element) => draw(element, figure)));

  // PNG and SVG of a figure.
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-picture]");
    if (!button) return;
    const element = button.closest("figure").querySelector(".plot");
    const size = { width: Math.max(640, element.clientWidth), height: element.clientHeight };
    Plotly.downloadImage(element, { format: button.dataset.picture, scale: 2, filename: element.dataset.title.replace(/[^A-Za-z0-9]+/g, "-"), ...size });
  });

  // Another hull, another view of a crystal.
  const choose = (element, address) => {
    const box = element.closest("figure");
    box.hidden = false;
    element.dataset.figure = address;
    const csv = box.querySelector("a[download]");
    if (csv) csv.href = `${address}/csv`;
    load(element);
  };
  for (const form of document.querySelectorAll("form[data-hull]")) {
    const show = (system) => choose(form.closest("section").querySelector(".plot"), form.dataset.hull + encodeURIComponent(system));
    form.addEventListener("submit", (event) => { event.preventDefault(); show(form.elements.system.value.trim()); });
    form.addEventListener("click", (event) => {
      const system = event.target.dataset.system;
      if (system) { form.elements.system.value = system; show(system); }
    });
  }
  for (const form of document.querySelectorAll("form[data-crystal]"))
    form.addEventListener("change", () =>
      choose(form.parentElement.querySelector(".plot"), `${form.dataset.crystal}?${new URLSearchParams(new FormData(form))}`));

  // A live page asks for itself and takes over the parts that changed; figures follow when the numbers do.
  const main = document.querySelector("main[data-live]");
  const status = document.querySelector(".live");
  const refresh = async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      if (!answer.ok) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const version = (root) => root.querySelector("[data-version]")?.dataset.version;
      const changed = version(page) !== version(document);
      for (const part of document.querySelectorAll("[data-part]")) {
        const other = page.getElementById(part.id);
        if (other && other.innerHTML !== part.innerHTML) part.replaceChildren(...other.childNodes);
      }
      if (changed) for (const element of drawn.keys()) load(element);
      status.textContent = "live";
      if (!page.querySelector("main[data-live]")) { clearInterval(timer); status.textContent = ""; }
    } catch {
      status.textContent = "not reachable, trying again";
    }
  };
  const timer = main ? setInterval(refresh, 1000 * Number(main.dataset.live)) : 0;
})();
