// A shop's pages with posthog-js, which tells of pages by itself. Arguments: address and key.
"use strict";

const visit = require("./browser.cjs");

const [api_host, key] = process.argv.slice(2);
const head = `
  <script type="module">
    import posthog from "/packages/posthog-js/dist/module.mjs";
    window.posthog = posthog;
    posthog.init(${JSON.stringify(key)}, ${JSON.stringify({ api_host })});
  </script>`;

visit(head, {
  "/": () => {},
  "/teapot": ({ product }) => {
    posthog.capture("Product Viewed", product);
    posthog.capture("Product Added", product);
  },
  "/checkout": ({ product, customer }) => {
    posthog.capture("Checkout Started", { products: [product] });
    posthog.identify(customer, { plan: "club" });
  },
  "/thanks": ({ product, order }) => {
    posthog.capture("Order Completed", { ...order, products: [product] });
  },
});
