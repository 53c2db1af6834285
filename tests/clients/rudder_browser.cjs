// A shop's pages with @rudderstack/analytics-js. Arguments: address and key.
"use strict";

const visit = require("./browser.cjs");

const [url, writeKey] = process.argv.slice(2);
const head = `
  <script type="module">
    import { RudderAnalytics } from "/packages/@rudderstack/analytics-js/dist/npm/modern/bundled/esm/index.mjs";
    window.rudder = new RudderAnalytics();
    rudder.load(${JSON.stringify(writeKey)}, ${JSON.stringify(url)}, { configUrl: ${JSON.stringify(url)}, logLevel: "NONE" });
  </script>`;

visit(head, {
  "/": () => {
    rudder.page("Home");
  },
  "/teapot": ({ product }) => {
    rudder.page(product.name);
    rudder.track("Product Viewed", product);
    rudder.track("Product Added", product);
  },
  "/checkout": ({ product, customer }) => {
    rudder.page("Checkout");
    rudder.track("Checkout Started", { products: [product] });
    rudder.identify(customer, { plan: "club" });
  },
  "/thanks": ({ product, order }) => {
    rudder.page("Thanks");
    rudder.track("Order Completed", { ...order, products: [product] });
  },
});
