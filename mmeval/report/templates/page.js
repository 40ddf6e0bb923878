"use strict";
// Theme, tabs, sorting and filters. Without this script, every part of a page is visible.
(() => {
  const root = document.documentElement;
  root.classList.add("script");

  const element = (tag, properties = {}, attributes = {}) => {
    const made = Object.assign(document.createElement(tag), properties);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };

  // Theme: the system's until the reader chooses. Storage may be forbidden, as in a mail's attachment.
  const storage = {
    read: () => { try { return localStorage.getItem("mmeval-theme"); } catch { return null; } },
    write: (theme) => { try { localStorage.setItem("mmeval-theme", theme); } catch { /* the choice lasts for this view */ } },
  };
  const toggle = document.querySelector("button.theme");
  const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const showTheme = () => { if (toggle) toggle.textContent = isDark() ? "Light theme" : "Dark theme"; };
  const stored = storage.read();
  if (stored === "dark" || stored === "light") root.dataset.theme = stored;
  if (toggle) {
    toggle.hidden = false;
    showTheme();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showTheme);
    toggle.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      storage.write(root.dataset.theme);
      showTheme();
    });
  }

  // Tabs: the children [data-tab] of a [data-tabs] become panels (WAI-ARIA Authoring Practices, tabs pattern).
  document.querySelectorAll("[data-tabs]").forEach((group, number) => {
    const panels = [...group.querySelectorAll(":scope > [data-tab]")];
    if (panels.length < 2) return;
    const list = element("div", { className: "tablist" }, { role: "tablist", "aria-label": group.dataset.tabs });
    const buttons = panels.map((panel, index) => {
      panel.id ||= `tab-${number}-${index}`;
      const button = element("button", { type: "button", textContent: panel.dataset.tab, id: `${panel.id}-tab`, dir: "auto" },
        { role: "tab", "aria-controls": panel.id });
      panel.setAttribute("role", "tabpanel");
      panel.setAttribute("aria-labelledby", button.id);
      list.append(button);
      return button;
    });
    const select = (chosen) => panels.forEach((panel, index) => {
      panel.hidden = index !== chosen;
      buttons[index].setAttribute("aria-selected", String(index === chosen));
      buttons[index].tabIndex = index === chosen ? 0 : -1;
    });
    buttons.forEach((button, index) => {
      button.addEventListener("click", () => select(index));
      button.addEventListener("keydown", (event) => {
        const last = buttons.length - 1;
        const to = { ArrowRight: index === last ? 0 : index + 1, ArrowLeft: index === 0 ? last : index - 1, Home: 0, End: last }[event.key];
        if (to === undefined) return;
        event.preventDefault();
        select(to);
        buttons[to].focus();
      });
    });
    group.prepend(list);
    select(0);
    const showTarget = () => {
      let target = null;
      try { target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1))); } catch { /* no valid anchor */ }
      const index = target ? panels.findIndex((panel) => panel.contains(target)) : -1;
      if (index < 0) return;
      select(index);
      target.scrollIntoView();
    };
    addEventListener("hashchange", showTarget);
    showTarget();
  });

  // Sorting: every heading of a table.sortable, except th.fixed, becomes a button. The first body is sorted; others are summaries.
  const valueOf = (row, column) => {
    const cell = row.cells[column];
    const text = cell ? (cell.dataset.value ?? cell.textContent.trim()) : "";
    const number = text === "" ? NaN : Number(text.replaceAll(",", ""));
    return Number.isNaN(number) ? text : number;
  };
  const compare = (a, b) => typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  const isEmpty = (value) => value === "" || value === "-" || value === "–";
  document.querySelectorAll("table.sortable").forEach((table) => {
    const headings = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    headings.forEach((heading, column) => {
      if (heading.classList.contains("fixed")) return;
      const button = element("button", { type: "button", className: "sort" });
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => {
        const rows = [...table.tBodies[0].rows];
        const isNumeric = rows.some((row) => typeof valueOf(row, column) === "number");
        // Numbers start with the largest, names with the first.
        const direction = { ascending: "descending", descending: "ascending" }[heading.getAttribute("aria-sort")]
          ?? (isNumeric ? "descending" : "ascending");
        const sign = direction === "ascending" ? 1 : -1;
        rows.map((row) => [row, valueOf(row, column)])
          .sort(([, a], [, b]) => isEmpty(a) - isEmpty(b) || sign * compare(a, b))
          .forEach(([row]) => table.tBodies[0].append(row));
        headings.forEach((other) => other.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", direction);
      });
    });
  });

  // Filters: the inputs of a .filters[data-for] hide items (rows of a table's first body, or [data-item]) of the element with that id.
  document.querySelectorAll(".filters[data-for]").forEach((filters) => {
    const target = document.getElementById(filters.dataset.for);
    if (!target) return;
    filters.hidden = false;
    const items = target.tBodies ? [...target.tBodies[0].rows] : [...target.querySelectorAll("[data-item]")];
    const inputs = [...filters.querySelectorAll("input, select")];
    const count = filters.querySelector("output");
    // A select's name is the data attribute that it filters by; its values are separated by "|" in the attribute.
    const matches = (item, input) => {
      if (!input.value) return true;
      if (input.tagName === "SELECT") return (item.dataset[input.name] ?? "").split("|").includes(input.value);
      return item.textContent.toLocaleLowerCase().includes(input.value.toLocaleLowerCase());
    };
    const apply = () => {
      let shown = 0;
      for (const item of items) {
        item.hidden = !inputs.every((input) => matches(item, input));
        shown += !item.hidden;
      }
      if (count) count.textContent = shown === items.length ? "" : `${shown} of ${items.length} shown`;
    };
    inputs.forEach((input) => input.addEventListener("input", apply));
    apply();
  });

  // The hint stands only above what does scroll.
  document.querySelectorAll(".hint + .scroll").forEach((box) => {
    const update = () => { box.previousElementSibling.hidden = box.scrollWidth <= box.clientWidth; };
    new ResizeObserver(update).observe(box);
  });

  // Paper has nothing to click.
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((details) => { details.open = true; }));
})();
