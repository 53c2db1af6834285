// A shop of a few pages in headless Chromium, whose visitor stays on the last page until stdin ends.
"use strict";

const { once } = require("node:events");
const { readFile } = require("node:fs/promises");
const { createServer } = require("node:http");
const path = require("node:path");
const { chromium } = require("playwright-core");

const PACKAGES = path.join(process.env.NODE_PATH, path.sep);
const FLAGS = [
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // Machines are kept out of reports, and PostHog sends nothing from a browser that says it is driven by one.
  "--disable-blink-features=AutomationControlled",
  "--user-agent=Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36",
];

// Every path is a page with the same head, but for /packages/, where the installed packages are.
function servedShop(head) {
  const page = `<!doctype html><html><head><title>Shop</title>${head}</head><body>Tea</body></html>`;
  return createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    if (!pathname.startsWith("/packages/")) return response.setHeader("content-type", "text/html").end(page);
    const file = path.join(PACKAGES, pathname.slice("/packages/".length));
    const content = file.startsWith(PACKAGES) && (await readFile(file).catch(() => null));
    if (!content) return response.writeHead(404).end();
    response.setHeader("content-type", "text/javascript").end(content);
  });
}

// head: loads the client. pages: per path what happens on it, a function that runs in the page with what the shop sells.
module.exports = async function visit(head, pages) {
  const server = servedShop(head).listen(0, "localhost");
  await once(server, "listening");
  const executablePath = process.env.CHROMIUM;
  const browser = await chromium.launch({ executablePath, chromiumSandbox: false, args: FLAGS });
  const page = await browser.newPage();
  page.on("console", (message) => console.log(message.text()));
  page.on("pageerror", (error) => console.error(error));
  for (const [url, happens] of Object.entries(pages)) {
    await page.goto(`http://localhost:${server.address().port}${url}`);
    await page.evaluate(happens, require("./shop.json"));
    // Nobody leaves within milliseconds: that cuts off the request by which PostHog's client tells of a login.
    await page.waitForLoadState("networkidle");
  }
  process.stdin.resume();
  await once(process.stdin, "end");
  await browser.close();
  server.closeAllConnections();
  server.close();
};
