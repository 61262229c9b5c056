"use strict";
// Sorts tables by a click on a heading; the page is whole without it.
(() => {
  const root = document.documentElement;
  const collator = new Intl.Collator(root.lang, { numeric: true });
  const text = (row, at) => row.cells[at].textContent.trim();
  const number = (row, at) => parseFloat(text(row, at).replace(/[,%<]/g, ""));
  const words = (row, at) => {
    const time = row.cells[at].querySelector("time");
    return time ? time.dateTime : text(row, at);
  };
  const compare = (isNumber, at, way) => (a, b) => {
    // What is missing stands last in either order.
    const gaps = (text(a, at) === "-") - (text(b, at) === "-");
    if (gaps) return gaps;
    const order = isNumber
      ? number(a, at) - number(b, at) || 0
      : collator.compare(words(a, at), words(b, at));
    return way * order;
  };
  for (const table of document.querySelectorAll("table.data")) {
    const body = table.tBodies[0];
    const headings = [...table.tHead.rows[0].cells];
    if (body.rows.length < 2) continue;
    headings.forEach((heading, at) => {
      const button = document.createElement("button");
      button.type = "button";
      button.title = `${root.dataset.sort}: ${heading.textContent}`;
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => {
        const rises = heading.getAttribute("aria-sort") !== "ascending";
        headings.forEach((other) => other.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", rises ? "ascending" : "descending");
        const rows = [...body.rows];
        const ranked = rows.filter((row) => !row.classList.contains("foot"));
        const foot = rows.filter((row) => row.classList.contains("foot"));
        ranked.sort(compare(heading.classList.contains("n"), at, rises ? 1 : -1));
        body.append(...ranked, ...foot);
      });
    });
  }
  const closed = [];
  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details:not([open])")) {
      closed.push(details);
      details.open = true;
    }
  });
  addEventListener("afterprint", () => {
    while (closed.length) closed.pop().open = false;
  });
})();
