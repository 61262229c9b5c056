// Looks at reports as their readers do: in a browser, at two widths, light and dark, with and without
// scripts, and on paper. Says what is wrong and ends with status 1; --pictures DIR keeps what it saw.
//
//   node page.mjs [--chromium PATH] [--pictures DIR] REPORT_FOLDER...

import { mkdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import puppeteer from "puppeteer-core";

const { values: options, positionals: reports } = parseArgs({
  allowPositionals: true,
  options: {
    chromium: { type: "string", default: "/usr/bin/chromium" },
    pictures: { type: "string" },
  },
});
if (reports.length === 0) {
  console.error("name the folders of the reports to look at");
  process.exit(2);
}

const WIDTHS = [400, 1400];
const SCHEMES = ["light", "dark"];
// Texts of plots below this size, in CSS pixels as shown, cannot be read.
const SMALLEST = 9.5;
// Rows that axe sees of a table's beginning, and of its end.
const ROWS = 12;

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const browser = await puppeteer.launch({
  executablePath: options.chromium,
  protocolTimeout: 600_000,
  args: ["--no-sandbox", "--disable-dev-shm-usage", "--force-color-profile=srgb"],
});
let faults = 0;
const fault = (where, what) => {
  faults += 1;
  console.log(`${where}: ${what}`);
};

// A page of the report; every word of its console and every request that leaves its folder is a fault.
const open = async (where, url, width, scheme, scripts) => {
  const page = await browser.newPage();
  await page.setViewport({ width, height: 900 });
  await page.setJavaScriptEnabled(scripts);
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  page.on("console", (message) => fault(where, `console: ${message.text()}`));
  page.on("pageerror", (error) => fault(where, `script: ${error.message}`));
  page.on("request", (request) => {
    if (request.url() !== url && !request.url().startsWith("data:")) {
      fault(where, `asks for ${request.url()}`);
    }
  });
  await page.goto(url, { waitUntil: "load" });
  return page;
};

// Runs in the page: what is cut off, overlaps or is too small.
const layout = (smallest) => {
  const found = [];
  const short = (text) => text.trim().replace(/\s+/g, " ").slice(0, 60);
  const overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  if (overflow > 0) found.push(`the page is ${overflow} pixels wider than the window`);
  for (const svg of document.querySelectorAll("figure > svg")) {
    const frame = svg.getBoundingClientRect();
    if (frame.width === 0) continue;
    const name = svg.querySelector("title").textContent;
    const texts = [...svg.querySelectorAll("text")].map((text) => ({
      text: short(text.textContent),
      size: parseFloat(getComputedStyle(text).fontSize) * frame.width / svg.viewBox.baseVal.width,
      box: text.getBoundingClientRect(),
    }));
    for (const { text, size, box } of texts) {
      if (size < smallest) found.push(`${name}: "${text}" is ${size.toFixed(1)} pixels high`);
      const out = Math.max(frame.left - box.left, box.right - frame.right, frame.top - box.top, box.bottom - frame.bottom);
      if (out > 1) found.push(`${name}: "${text}" is cut off by ${out.toFixed(1)} pixels`);
    }
    texts.forEach((one, at) => {
      for (const other of texts.slice(at + 1)) {
        const across = Math.min(one.box.right, other.box.right) - Math.max(one.box.left, other.box.left);
        const down = Math.min(one.box.bottom, other.box.bottom) - Math.max(one.box.top, other.box.top);
        if (across > 1 && down > 2) found.push(`${name}: "${one.text}" and "${other.text}" overlap`);
      }
    });
  }
  // Beyond its own room a text must scroll, not end.
  for (const part of document.querySelectorAll("h1,h2,h3,h4,p,dd,dt,li,summary,figcaption,button")) {
    const style = getComputedStyle(part);
    if (part.clientWidth > 0 && !part.classList.contains("hidden") && style.display !== "inline") {
      const over = part.scrollWidth - part.clientWidth;
      if (over > 1) found.push(`<${part.localName}> "${short(part.textContent)}" runs over by ${over} pixels`);
    }
  }
  return found;
};

// Runs in the page: removes the rows in the middle of long tables, which are like those before, since
// axe's time grows faster than the number of rows.
const shorten = (rows) => {
  for (const body of document.querySelectorAll("table.data tbody")) {
    [...body.rows].slice(rows, -rows).forEach((row) => row.remove());
  }
};

// Runs in the page: what axe finds. axe does not see the colours of cells that are scrolled away, so
// contrast is checked again with all cells laid out. It cannot check texts of drawings; the page
// package's tests compare their colours.
const accessible = async () => {
  const usual = await window.axe.run({ resultTypes: ["violations", "incomplete"] });
  for (const part of document.querySelectorAll(".scroll")) {
    part.style.overflow = "visible";
    part.style.maxHeight = "none";
  }
  for (const part of document.querySelectorAll("thead th")) part.style.position = "static";
  document.body.style.maxWidth = "none";
  document.body.style.width = "240rem";
  const colours = await window.axe.run(document, { runOnly: ["color-contrast"], resultTypes: ["violations", "incomplete"] });
  for (const part of document.querySelectorAll(".scroll, thead th, body")) part.removeAttribute("style");
  const other = (list) => list.filter(({ id }) => id !== "color-contrast");
  const judged = colours.incomplete.map((rule) => ({ ...rule, nodes: rule.nodes.filter(({ html }) => !html.startsWith("<text")) }));
  return {
    violations: [...other(usual.violations), ...colours.violations],
    incomplete: [...other(usual.incomplete), ...judged.filter(({ nodes }) => nodes.length > 0)],
    passes: usual.passes.length,
  };
};

// Runs in the page: clicks on every heading of some tables and says whether rows are in order.
const sorting = () => {
  const found = [];
  for (const table of [...document.querySelectorAll("table.data")].slice(0, 12)) {
    const body = table.tBodies[0];
    const before = [...body.rows].map((row) => row.textContent).sort().join("\n");
    for (const heading of table.tHead.rows[0].cells) {
      const button = heading.querySelector("button");
      if (!button) continue;
      button.click();
      button.click();
      if (heading.getAttribute("aria-sort") !== "descending") found.push("a second click does not reverse");
      if (heading.classList.contains("n")) {
        const rows = [...body.rows].filter((row) => !row.classList.contains("foot"));
        const texts = rows.map((row) => row.cells[heading.cellIndex].textContent.trim());
        const numbers = texts.filter((text) => text !== "-").map((text) => parseFloat(text.replace(/[,%<]/g, "")));
        if (numbers.some((number, at) => at > 0 && number > numbers[at - 1])) {
          found.push(`${table.caption.textContent}: ${heading.textContent} is not in order`);
        }
      }
    }
    const after = [...body.rows].map((row) => row.textContent).sort().join("\n");
    if (before !== after) found.push(`${table.caption.textContent}: sorting changes rows`);
  }
  return found;
};

const words = () => document.querySelector("main").innerText.replace(/\s+/g, "");

for (const report of reports) {
  const url = pathToFileURL(join(resolve(report), "index.html")).href;
  const name = basename(resolve(report));
  if (options.pictures) await mkdir(options.pictures, { recursive: true });
  const picture = (...parts) => join(options.pictures, `${[name, ...parts].join("-")}.png`);
  for (const width of WIDTHS) {
    for (const scheme of SCHEMES) {
      const where = `${name}, ${width} pixels, ${scheme}`;
      const page = await open(where, url, width, scheme, true);
      const scripted = await page.evaluate(words);
      await page.evaluate(() => document.querySelectorAll("details").forEach((details) => { details.open = true; }));
      for (const what of await page.evaluate(layout, SMALLEST)) fault(where, what);
      await page.evaluate(shorten, ROWS);
      await page.evaluate(axe);
      const { violations, passes, incomplete } = await page.evaluate(accessible);
      for (const { id, impact, help, nodes } of violations) {
        fault(where, `axe ${id} (${impact}): ${help}; ${nodes.length} times, such as ${nodes[0].html.slice(0, 200)}`);
      }
      for (const { id, help, nodes } of incomplete) {
        console.log(`   ${where}: axe cannot tell ${id}: ${help}; ${nodes.length} times, such as ${nodes[0].html.slice(0, 120)}`);
      }
      console.log(`   ${where}: axe ${passes} rules passed, ${violations.length} violated`);
      if (options.pictures) {
        await page.evaluate(() => document.querySelectorAll("details.long").forEach((details) => { details.open = false; }));
        for (const part of await page.$$("header, nav, section.figure, footer")) {
          const id = await part.evaluate((part) => part.id || part.localName);
          await part.screenshot({ path: picture(width, scheme, id) });
        }
      }
      if (width === WIDTHS[1] && scheme === SCHEMES[0]) {
        for (const what of await page.evaluate(sorting)) fault(where, what);
      }
      await page.close();
      const plain = await open(where, url, width, scheme, false);
      if ((await plain.evaluate(words)) !== scripted) fault(where, "without scripts the page says something else");
      await plain.close();
    }
  }
  const page = await open(`${name}, on paper`, url, 1400, "dark", true);
  const path = options.pictures ? join(options.pictures, `${name}.pdf`) : undefined;
  const pdf = await page.pdf({ path, preferCSSPageSize: true, printBackground: true });
  console.log(`   ${name}, on paper: ${pdf.length} octets`);
  await page.close();
}
await browser.close();
console.log(faults === 0 ? "nothing is wrong" : `${faults} faults`);
process.exit(faults === 0 ? 0 : 1);
