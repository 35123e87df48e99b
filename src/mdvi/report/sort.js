for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  const key = (row, i) => {
    const text = row.cells[i].textContent.trim();
    const found = text.replace(/\u2212/g, "-").match(/-?\d+(\.\d+)?(e[-+]?\d+)?/);
    return { text, number: found ? parseFloat(found[0]) : NaN };
  };
  heads.forEach((head, i) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") === "descending";
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = [...body.rows].map((row) => ({ row, ...key(row, i) }));
      const words = i === 0 || rows.every((one) => isNaN(one.number));
      rows.sort((a, b) => {
        if (words) return a.text.localeCompare(b.text) * (up ? -1 : 1);
        if (isNaN(a.number) || isNaN(b.number)) return isNaN(a.number) - isNaN(b.number);
        return (a.number - b.number) * (up ? 1 : -1);
      });
      body.append(...rows.map((one) => one.row));
    });
  });
}
