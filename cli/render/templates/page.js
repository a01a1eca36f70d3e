"use strict";
(() => {
  const form = document.getElementById("filter");
  if (!form) return;
  const words = document.getElementById("words");
  const shown = document.getElementById("shown");
  const groups = [...document.querySelectorAll("details.group[data-severity]")].map((group) => ({
    group,
    rows: [...group.querySelectorAll("tbody tr")].map((row) => ({ row, text: row.textContent.toLowerCase() })),
  }));
  const total = groups.reduce((sum, { rows }) => sum + rows.length, 0);
  const apply = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const levels = new Set([...form.querySelectorAll("input[name=severity]:checked")].map((box) => box.value));
    let count = 0;
    for (const { group, rows } of groups) {
      let here = 0;
      for (const { row, text } of rows) {
        const fits = levels.has(group.dataset.severity) && wanted.every((word) => text.includes(word));
        row.hidden = !fits;
        if (fits) here += 1;
      }
      group.hidden = here === 0;
      count += here;
    }
    shown.textContent = `${count} of ${total}`;
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  apply();
})();
