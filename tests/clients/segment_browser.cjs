// A shop's pages with @segment/analytics-next. Arguments: address and key.
"use strict";

const visit = require("./browser.cjs");

const [url, writeKey] = process.argv.slice(2);
const { host, protocol } = new URL(url);
const settings = { writeKey, cdnURL: url };
const options = { integrations: { "Segment.io": { apiHost: `${host}/v1`, protocol: protocol.slice(0, -1) } } };
const head = `
  <script src="/packages/@segment/analytics-next/dist/umd/index.js"></script>
  <script>
    const analytics = AnalyticsNext.AnalyticsBrowser.load(${JSON.stringify(settings)}, ${JSON.stringify(options)});
  </script>`;

visit(head, {
  "/": async () => {
    await analytics.page("Home");
  },
  "/teapot": async ({ product }) => {
    await analytics.page(product.name);
    await analytics.track("Product Viewed", product);
    await analytics.track("Product Added", product);
  },
  "/checkout": async ({ product, customer }) => {
    await analytics.page("Checkout");
    await analytics.track("Checkout Started", { products: [product] });
    await analytics.identify(customer, { plan: "club" });
  },
  "/thanks": async ({ product, order }) => {
    await analytics.page("Thanks");
    await analytics.track("Order Completed", { ...order, products: [product] });
  },
});
